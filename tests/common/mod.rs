//! A service with a reviewer of ours, and a client that can also misbehave.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module of every test file, each of which uses a part of it"
)]

use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use futures_util::future::BoxFuture;
use migration_warden::core::admit::{Answer, Unanswered};
use migration_warden::core::pki::server_config;
use migration_warden::core::policy::{Action, verdict::Outcome};
use migration_warden::core::review::{Operation, Phase, request::MalformedReview};
use migration_warden::host::decision_log::Sink;
use migration_warden::host::tls::issue;
use migration_warden::host::tls::issue::Issued;
use migration_warden::server::metrics::Metrics;
use migration_warden::server::{
    Reviewed, Reviewer,
    listen::{self, Limits},
    routes::{self, Reviews},
};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

/// The development certificate all tests share.
pub fn issued() -> &'static Issued {
    static ISSUED: OnceLock<(tempfile::TempDir, Issued)> = OnceLock::new();
    let (_, issued) = ISSUED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let issued = issue::ensure(dir.path(), jiff::Timestamp::now()).unwrap();
        (dir, issued)
    });
    issued
}

/// Does what the review says, blanks apart: `panic`, `hang` (until released, then a record), `wait` (for others, until released),
/// `malformed`, `record`, `deny` (a record that must not be lost); everything else is answered with
/// the phase.
#[derive(Default)]
pub struct TestReviewer {
    pub reviewed: AtomicUsize,
    begun: Notify,
    /// Of each decision, whether its lost record has turned it into a denial.
    pub told: Mutex<Vec<bool>>,
    released: Mutex<bool>,
    release: Condvar,
    others: Notify,
}

impl TestReviewer {
    /// Returns when so many reviews have come to the reviewer.
    pub async fn has_begun(&self, reviews: usize) {
        loop {
            let next = self.begun.notified();
            if self.reviewed.load(Ordering::SeqCst) >= reviews {
                return;
            }
            next.await;
        }
    }

    pub fn release(&self) {
        *self.released.lock().unwrap() = true;
        self.release.notify_all();
        self.others.notify_one();
    }
}

impl Reviewer for TestReviewer {
    fn review<'a>(
        &'a self,
        phase: Phase,
        body: &'a [u8],
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Reviewed, Unanswered>> {
        Box::pin(async move {
            let answer = self.answer(phase, body);
            if body.trim_ascii() == b"wait" {
                self.others.notified().await;
                self.others.notify_one();
            }
            let answer = answer?;
            let trace = None;
            Ok(Reviewed { answer, trace })
        })
    }

    fn report(&self, Reviewed { answer, .. }: &mut Reviewed) {
        if !answer.findings.is_empty() {
            let refused = answer.outcome == Outcome::Denied;
            self.told.lock().unwrap().push(refused);
        }
    }
}

impl TestReviewer {
    fn answer(&self, phase: Phase, body: &[u8]) -> Result<Answer, Unanswered> {
        self.reviewed.fetch_add(1, Ordering::SeqCst);
        self.begun.notify_waiters();
        let (word, bytes) = (phase.as_str(), body.len());
        let said = format!("{{\"phase\":\"{word}\",\"bytes\":{bytes}}}");
        let mut answer = Answer::allowed(phase, Operation::Create, said.into());
        let body = body.trim_ascii();
        if body == b"hang" {
            // Tasks that wait for this very worker must not hang too.
            tokio::task::block_in_place(|| {
                let released = self.released.lock().unwrap();
                let wait = self.release.wait_while(released, |released| !*released);
                drop(wait.unwrap());
            });
        }
        match body {
            b"panic" => panic!("the reviewer's own"),
            b"malformed" => return Err(MalformedReview::NoRequest.into()),
            b"record" | b"deny" | b"hang" => {
                answer.findings = vec![("MW001", Action::Warn)];
                answer.line = Some(b"{\"a\":1}".to_vec());
                answer.if_lost = (body == b"deny").then(|| b"{\"denied\":true}".to_vec());
            }
            _ => {}
        }
        Ok(answer)
    }
}

/// A running HTTPS listener.
pub struct Server {
    pub address: SocketAddr,
    pub handle: Handle<SocketAddr>,
    pub metrics: Arc<Metrics>,
    pub reviewer: Arc<TestReviewer>,
    pub reviews: Arc<Reviews>,
    pub task: JoinHandle<std::io::Result<()>>,
}

/// What may differ between servers.
pub struct Setup {
    pub limits: Limits,
    pub in_flight: usize,
    pub output: OwnedFd,
}

impl Default for Setup {
    fn default() -> Self {
        let null = fs::File::options().write(true).open("/dev/null").unwrap();
        Self {
            limits: Limits::default(),
            in_flight: routes::MAX_IN_FLIGHT,
            output: null.into(),
        }
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let metrics = Arc::new(Metrics::new());
        let reviewer = Arc::new(TestReviewer::default());
        let sink = Arc::new(Sink::new(setup.output, metrics.lost_lines.clone()).unwrap());
        let reviews = Reviews::new(
            Arc::clone(&reviewer) as Arc<dyn Reviewer>,
            sink,
            None,
            Arc::clone(&metrics),
            setup.in_flight,
        );
        let app = routes::router(Arc::clone(&reviews));
        let handle = Handle::new();
        let task = tokio::spawn(serve(
            app,
            setup.limits,
            handle.clone(),
            Arc::clone(&metrics),
        ));
        Self {
            address: handle.listening().await.unwrap(),
            handle,
            metrics,
            reviewer,
            reviews,
            task,
        }
    }

    pub async fn connect(&self) -> TlsStream<TcpStream> {
        connect(self.address).await
    }

    /// The value of a series, its labels included in the name.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let prefix = format!("migration_warden_{series} ");
        let text = self.metrics.encode();
        text.lines()
            .find_map(|line| line.strip_prefix(&prefix)?.parse().ok())
    }

    pub fn rejected(&self, reason: &str) -> Option<f64> {
        self.metric(&format!("requests_rejected_total{{reason=\"{reason}\"}}"))
    }
}

async fn serve(
    app: Router,
    limits: Limits,
    handle: Handle<SocketAddr>,
    metrics: Arc<Metrics>,
) -> std::io::Result<()> {
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (cert, key) = (&issued().cert, &issued().key);
    let loaded = server_config(&fs::read(cert).unwrap(), &fs::read(key).unwrap(), None).unwrap();
    let tls = RustlsConfig::from_config(loaded.config);
    listen::https(listener, tls, app, limits, handle, metrics).await
}

/// How long a test waits for anything. Less than every limit of the server that a test does not set itself.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until this holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let held = timeout(PATIENCE, waiting).await;
    held.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// A client that trusts the CA in `ca_pem` and nothing else.
pub fn client_config(
    ca_pem: &[u8],
    versions: &[&'static SupportedProtocolVersion],
    alpn: &str,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca_pem).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    config
}

pub async fn connect_with(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_over(TcpStream::connect(address).await?, config).await
}

async fn connect_over(
    stream: TcpStream,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    // As Go's clients do.
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

pub async fn connect(address: SocketAddr) -> TlsStream<TcpStream> {
    secure(TcpStream::connect(address).await.unwrap()).await
}

/// Makes the TLS handshake on a connection.
pub async fn secure(stream: TcpStream) -> TlsStream<TcpStream> {
    let ca = fs::read(issued().ca.as_ref().unwrap()).unwrap();
    let config = client_config(&ca, &[&TLS13, &TLS12], "http/1.1");
    connect_over(stream, config).await.unwrap()
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as a Kubernetes `Status`: its message, reason and code.
    pub fn status_object(&self) -> (String, String, u64) {
        let status: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(
            (&status["kind"], &status["apiVersion"], &status["status"]),
            (&"Status".into(), &"v1".into(), &"Failure".into())
        );
        let text = |field: &str| status[field].as_str().unwrap().to_owned();
        (
            text("message"),
            text("reason"),
            status["code"].as_u64().unwrap(),
        )
    }
}

/// A review as the API server sends it.
pub fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub async fn ask(stream: &mut (impl AsyncRead + AsyncWriteExt + Unpin), request: &str) -> Response {
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    receive(stream).await.expect("an answer")
}

/// Reads one response with a known length; nothing when the connection is closed.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Option<Response> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers: BTreeMap<_, _> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some(Response {
        status,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}
