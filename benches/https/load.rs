//! The client: HTTP/1.1 over TLS 1.3, one request after the other on each connection.
//!
//! It knows just enough HTTP for these answers, because it shares the machine with the server.

use crate::process::certificate_files;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::TLS13,
};
use std::{
    io,
    net::Ipv4Addr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) struct Client {
    runtime: Runtime,
    connector: TlsConnector,
}

impl Client {
    /// A client that trusts the certificate in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate =
            CertificateDer::from_pem_file(certificate_files(dir).0).expect("a certificate");
        roots.add(certificate).expect("a usable certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            runtime: runtime.expect("a runtime"),
            connector: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Sends `body` over `connections` at once for as long as `time` says. The number of answers,
    /// and what `probe` says when all connections are warm and when the time is over.
    pub(crate) fn load<T>(
        &self,
        port: u16,
        body: &[u8],
        connections: usize,
        time: Duration,
        probe: impl Fn() -> T,
    ) -> (u32, T, T) {
        let request: Arc<[u8]> = request(body).into();
        self.runtime.block_on(async {
            let mut ready = JoinSet::new();
            for _ in 0..connections {
                let (connector, request) = (self.connector.clone(), Arc::clone(&request));
                ready.spawn(async move {
                    let mut connection = Connection::open(&connector, port).await?;
                    for _ in 0..3 {
                        connection.exchange(&request).await?;
                    }
                    io::Result::Ok(connection)
                });
            }
            let warm = ready.join_all().await;
            let (before, end) = (probe(), Instant::now() + time);
            let mut running = JoinSet::new();
            for connection in warm {
                let mut connection = connection.expect("a connection");
                let request = Arc::clone(&request);
                running.spawn(async move {
                    let mut answers = 0;
                    while Instant::now() < end {
                        connection.exchange(&request).await.expect("an answer");
                        answers += 1;
                    }
                    answers
                });
            }
            let answers = running.join_all().await.into_iter().sum();
            (answers, before, probe())
        })
    }

    /// Tries until the server answers a review, a millisecond after each failure.
    pub(crate) fn first_answer(&self, port: u16, body: &[u8]) {
        let request = request(body);
        self.runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_secs(30);
            loop {
                let answered = async {
                    let mut connection = Connection::open(&self.connector, port).await?;
                    connection.exchange(&request).await
                };
                match answered.await {
                    Ok(()) => return,
                    Err(error) => assert!(Instant::now() < deadline, "no answer: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

struct Connection {
    stream: TlsStream<TcpStream>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(connector: &TlsConnector, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let stream = connector.connect(name, stream).await?;
        let answer = Vec::with_capacity(4 << 10);
        Ok(Self { stream, answer })
    }

    /// Sends one request and reads its answer, which has to let the object through.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.answer.clear();
        while !is_whole(&self.answer) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let allowed: &[u8] = br#""allowed":true"#;
        let is_allowed = self
            .answer
            .windows(allowed.len())
            .any(|part| part == allowed);
        if !self.answer.starts_with(b"HTTP/1.1 200 ") || !is_allowed {
            let answer = String::from_utf8_lossy(&self.answer).into_owned();
            return Err(io::Error::other(answer));
        }
        Ok(())
    }
}

fn request(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /validate?timeout=10s HTTP/1.1\r\nhost: localhost\r\nuser-agent: kube-apiserver-admission\r\n\
         content-length: {length}\r\naccept: application/json, */*\r\ncontent-type: application/json\r\n\
         accept-encoding: gzip\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Whether headers and as many bytes as they announce are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}
