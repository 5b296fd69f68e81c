//! The way from `serve` to the apiserver, which can be held up: bytes are passed on as they are, TLS and all.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use super::Cluster;

/// A listener on loopback behind which the apiserver is.
pub(crate) struct Proxy {
    port: u16,
    way: Arc<Way>,
}

#[derive(Default)]
struct Way {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stalled: bool,
    /// What is asked comes through, and what is answered does not.
    muted: bool,
    /// Connections so far.
    opened: usize,
    /// So many of the first ones never go on, as when whoever kept them is gone without a word.
    lost: usize,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let server = Cluster::get().server();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(Way::default());
        let shared = Arc::clone(&way);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(&server) else {
                    continue;
                };
                let number = {
                    let mut state = shared.state.lock().unwrap();
                    state.opened += 1;
                    state.opened
                };
                let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
                for (answers, (from, to)) in [(false, (near, far)), (true, back)] {
                    let way = Arc::clone(&shared);
                    thread::spawn(move || way.pass_on(number, answers, from, to));
                }
            }
        });
        Self { port, way }
    }

    /// Where the apiserver is, by this way.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// From now on nothing comes through, and nothing is closed.
    pub(crate) fn stall(&self) {
        self.way.state.lock().unwrap().stalled = true;
    }

    /// From now on the apiserver is asked, and its answers do not come through.
    pub(crate) fn mute(&self) {
        self.way.state.lock().unwrap().muted = true;
    }

    /// What was held up comes through.
    pub(crate) fn go_on(&self) {
        let mut state = self.way.state.lock().unwrap();
        (state.stalled, state.muted) = (false, false);
        drop(state);
        self.way.changed.notify_all();
    }

    /// The same for new connections only; the old ones stay as they are for ever.
    pub(crate) fn go_on_anew(&self) {
        let mut state = self.way.state.lock().unwrap();
        state.lost = state.opened;
        drop(state);
        self.go_on();
    }
}

impl Way {
    fn pass_on(&self, number: usize, answers: bool, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let state = self.state.lock().unwrap();
            let held =
                |state: &mut State| state.stalled || answers && state.muted || number <= state.lost;
            drop(self.changed.wait_while(state, held).unwrap());
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}
