//! A server on loopback, and a client that sends and receives raw messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use weir::base::Node;
use weir::base::capabilities;
use weir::base::node::NodeSettings;
use weir::cli::serve;
use weir::config::Config;
use weir::metrics::Counters;
use weir::net::tls::Tls;
use weir::net::{Listening, Peers, Server};
use weir::policy::Register;
use weir::s13::request::{IdentityCheck, compose};
use weir::wire::compose::HostAddress;

/// Long enough for anything that is not meant to wait, on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Test IMEIs of the built-in register, with the status they have.
pub(crate) const KNOWN: [(&str, Option<u32>); 5] = [
    ("490154203237518", Some(0)),
    ("001012340000010", Some(1)),
    ("00101234000002", Some(2)),
    ("0010500000099977", Some(1)),
    ("35349006987331", None),
];

/// Runtimes that serve connections, with a thread each.
pub(crate) struct Workers(Vec<Runtime>);

impl Workers {
    /// So many of them, whose threads have this name.
    pub(crate) fn start(name: &str, count: usize) -> Self {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(name).enable_all();
        Self((0..count).map(|_| builder.build().unwrap()).collect())
    }

    /// To give them tasks.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.0
            .iter()
            .map(|runtime| runtime.handle().clone())
            .collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for runtime in self.0.drain(..) {
            // Waiting for them is not allowed in tasks.
            runtime.shutdown_background();
        }
    }
}

/// A running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) register: Arc<Register>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) peers: Peers,
    pub(crate) tls: Option<Arc<Tls>>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl TestServer {
    /// Starts the built-in configuration on a free port, with `change` made
    /// to it. Two workers serve the connections.
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(Workers::start("worker", 2), change).await
    }

    /// The same with these workers.
    pub(crate) async fn start_on(workers: Workers, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.diameter.listen = vec!["tcp://127.0.0.1:0".parse().unwrap()];
        change(&mut config);
        let loaded = weir::load::load(&config).unwrap();
        let register = Arc::new(Register::new(loaded.rulebook));
        let counters = Arc::new(Counters::default());
        let node = Arc::new(serve::node(&config));
        let server = Server::bind(&config, node, Arc::clone(&register), Arc::clone(&counters))
            .await
            .unwrap()
            .served_by(workers.handles());
        let addresses = server
            .listening()
            .filter_map(Listening::address)
            .collect::<Vec<_>>();
        let peers = server.peers();
        let tls = server.tls().cloned();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let _workers = workers;
            let stopped = async {
                let _ = stopped.await;
            };
            server.run(stopped).await;
        });
        Self {
            address: addresses[0],
            addresses,
            register,
            counters,
            peers,
            tls,
            stop: Some(stop),
            running,
        }
    }

    /// Tells the server to stop; the task to wait for is returned.
    pub(crate) fn stop(mut self) -> JoinHandle<()> {
        self.stop.take().unwrap().send(()).unwrap();
        self.running
    }

    pub(crate) async fn connect(&self) -> TestClient {
        TestClient::connect(self.address).await
    }

    /// A client whose capabilities are exchanged.
    pub(crate) async fn open(&self, name: &str) -> TestClient {
        let mut client = self.connect().await;
        client.send(&cer(name, 0)).await;
        let cea = client.receive().await.expect("a CEA");
        assert_eq!(result_code(&cea), Some(2001));
        client
    }
}

/// A connection that sends and receives raw bytes.
pub(crate) struct TestClient<S = TcpStream> {
    pub(crate) stream: S,
    buffer: BytesMut,
}

impl TestClient {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TestClient<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let send = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, send)
            .await
            .expect("the server reads")
            .unwrap();
    }

    /// The next message; `None` when the connection ended instead, in order or
    /// not.
    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        loop {
            if let Some(length) = self.buffer.get(1..4) {
                let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
                assert!(length >= 20, "a message has a header");
                if self.buffer.len() >= length {
                    return Some(self.buffer.split_to(length).freeze());
                }
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer))
                .await
                .expect("the server answers or closes");
            if !matches!(read, Ok(1..)) {
                assert!(
                    self.buffer.is_empty(),
                    "a message was cut: {:?}",
                    self.buffer
                );
                return None;
            }
        }
    }

    /// Checks one IMEI.
    pub(crate) async fn check(&mut self, imei: &str) -> Option<u32> {
        self.send(&ecr(7, imei)).await;
        status(&self.receive().await.expect("an answer"))
    }
}

fn client_node(name: &str, state_id: u32) -> Node {
    let settings = serve::node(&Config::default()).settings().clone();
    Node::new(NodeSettings {
        origin_host: name.to_owned(),
        origin_realm: "localdomain".to_owned(),
        state_id,
        ..settings
    })
}

/// A CER of a client of this name.
pub(crate) fn cer(name: &str, state_id: u32) -> BytesMut {
    let mut out = BytesMut::new();
    let address = HostAddress::V4([127, 0, 0, 1]);
    capabilities::compose_request(&mut out, &client_node(name, state_id), (1, 1), &[address]);
    out
}

/// An ECR about this IMEI.
pub(crate) fn ecr(identifier: u32, imei: &str) -> BytesMut {
    ecr_of("mme.localdomain", identifier, imei)
}

/// The same from a client of this name.
pub(crate) fn ecr_of(name: &str, identifier: u32, imei: &str) -> BytesMut {
    let mut out = BytesMut::new();
    let check = IdentityCheck {
        session_id: "mme.localdomain;1;2;app_s13",
        destination_host: None,
        destination_realm: weir::config::diameter::DEFAULT_ORIGIN_REALM,
        imei,
        software_version: None,
        user_name: None,
    };
    compose(
        &mut out,
        &client_node(name, 0),
        (identifier, !identifier),
        &check,
    );
    out
}

/// The CEA with this Result-Code of a relay of this name.
pub(crate) fn cea(name: &str, cer: &[u8], result_code: u32) -> Vec<u8> {
    let avp = |code: u32, data: &[u8]| {
        let mut avp = code.to_be_bytes().to_vec();
        avp.extend_from_slice(&(0x4000_0000 | (8 + data.len() as u32)).to_be_bytes());
        avp.extend_from_slice(data);
        avp.resize(avp.len().next_multiple_of(4), 0);
        avp
    };
    let mut answer = cer[..20].to_vec();
    answer[4] = if (3000..4000).contains(&result_code) {
        0x20
    } else {
        0
    };
    answer.extend(avp(268, &result_code.to_be_bytes()));
    answer.extend(avp(264, name.as_bytes()));
    answer.extend(avp(296, b"localdomain"));
    answer.extend(avp(257, &[0, 1, 127, 0, 0, 1]));
    answer.extend(avp(266, &[0; 4]));
    answer.extend(avp(269, b"agent"));
    answer.extend(avp(258, &[0xff; 4]));
    let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
    answer[1..4].copy_from_slice(&length[1..]);
    answer
}

/// A DWA or DPA to a request of the server.
pub(crate) fn plain_answer(request: &[u8]) -> Vec<u8> {
    let mut answer = request[..20].to_vec();
    answer[4] = 0;
    // Result-Code, Origin-Host, Origin-Realm.
    answer.extend_from_slice(b"\0\0\x01\x0c\x40\0\0\x0c\0\0\x07\xd1");
    answer.extend_from_slice(b"\0\0\x01\x08\x40\0\0\x0bmme\0");
    answer.extend_from_slice(b"\0\0\x01\x28\x40\0\0\x0blte\0");
    answer[3] = u8::try_from(answer.len()).unwrap();
    answer[2] = 0;
    answer
}

pub(crate) fn command(message: &[u8]) -> u32 {
    u32::from_be_bytes([0, message[5], message[6], message[7]])
}

pub(crate) fn is_request(message: &[u8]) -> bool {
    message[4] & 0x80 != 0
}

pub(crate) fn hop_by_hop(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[12..16].try_into().unwrap())
}

/// Waits for what another thread will bring about.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The data of the first AVP with this code on the first level.
pub(crate) fn avp(message: &[u8], code: u32) -> Option<&[u8]> {
    let mut rest = &message[20..];
    while rest.len() >= 8 {
        let found = u32::from_be_bytes(rest[..4].try_into().unwrap());
        let length = u32::from_be_bytes([0, rest[5], rest[6], rest[7]]) as usize;
        let header = if rest[4] & 0x80 != 0 { 12 } else { 8 };
        if found == code {
            return Some(&rest[header..length]);
        }
        rest = &rest[length.next_multiple_of(4)..];
    }
    None
}

fn number(message: &[u8], code: u32) -> Option<u32> {
    avp(message, code).map(|data| u32::from_be_bytes(data.try_into().unwrap()))
}

pub(crate) fn result_code(message: &[u8]) -> Option<u32> {
    number(message, 268)
}

pub(crate) fn disconnect_cause(message: &[u8]) -> Option<u32> {
    number(message, 273)
}

/// The Equipment-Status of an ECA; `None` for 5422. Anything else is a failed
/// test.
pub(crate) fn status(eca: &[u8]) -> Option<u32> {
    assert_eq!(command(eca), 324);
    assert!(!is_request(eca));
    match result_code(eca) {
        Some(code) => {
            assert_eq!(code, 2001);
            Some(number(eca, 1445).expect("2001 comes with Equipment-Status"))
        }
        None => {
            let result = avp(eca, 297).expect("Experimental-Result in place of Result-Code");
            assert_eq!(&result[result.len() - 4..], 5422u32.to_be_bytes());
            None
        }
    }
}
