//! A way from `serve` to the API server that answers some requests with 503, loses some answers, and cuts watches.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, Response, StatusCode, header},
};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use kube::Client;
use tokio::{runtime::Builder, sync::oneshot, time};

use super::Cluster;

/// Of a thousand requests, those that are refused before they reach the API server, and those whose answer is lost.
const REFUSED: u64 = 30;
const LOST: u64 = 10;
/// Watches end after two to nine seconds.
const CUT: u64 = 2;

/// A listener on loopback, without TLS, behind which the API server is. It ends with the test program.
pub(crate) struct Faulty {
    port: u16,
}

#[derive(Clone)]
struct Way {
    client: Client,
    asked: Arc<AtomicU64>,
}

impl Faulty {
    pub(crate) fn start() -> Self {
        let (told, port) = oneshot::channel();
        thread::spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let way = Way {
                    client: Cluster::get().client("default", None).await,
                    asked: Arc::default(),
                };
                let app = Router::new().fallback(pass_on).with_state(way);
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap().port()).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        let port = port.blocking_recv().unwrap();
        Self { port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Way {
    /// A number below a thousand for the next request, the same in each run.
    fn chance(&self) -> u64 {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        // The multiplier of Knuth's MMIX generator; the high bits are the good ones.
        (number.wrapping_mul(6_364_136_223_846_793_005) >> 33) % 1000
    }
}

async fn pass_on(State(way): State<Way>, request: Request) -> Response<Body> {
    let chance = way.chance();
    if chance < REFUSED {
        let mut refused = Response::new(Body::from("out of order"));
        *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return refused;
    }
    let (mut head, body) = request.into_parts();
    let is_watch = head
        .uri
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let is_lost = chance < REFUSED + LOST && head.method != Method::GET;
    head.headers.remove(header::HOST);
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let answered = way
        .client
        .send(Request::from_parts(head, body.into()))
        .await;
    let Ok(answered) = answered else {
        let mut refused = Response::new(Body::from("no answer"));
        *refused.status_mut() = StatusCode::BAD_GATEWAY;
        return refused;
    };
    let (head, body) = answered.into_parts();
    if is_lost {
        let nothing = Err::<Bytes, _>(io::Error::other("lost"));
        return Response::new(Body::from_stream(stream::iter([nothing])));
    }
    let body = body.into_data_stream();
    if is_watch {
        let end = time::sleep(Duration::from_secs(CUT + chance % 8));
        return Response::from_parts(head, Body::from_stream(body.take_until(end)));
    }
    Response::from_parts(head, Body::from_stream(body))
}
