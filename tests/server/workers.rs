//! Connections are handed out evenly, and served where they were handed to.

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::timeout;
use weir::config::Connect;

use crate::harness::*;

/// How many tasks each worker has: it has none but its connections'.
fn tasks(workers: &[Handle]) -> Vec<usize> {
    let workers = workers.iter().map(Handle::metrics);
    workers.map(|metrics| metrics.num_alive_tasks()).collect()
}

/// Waits until all workers together have so many connections.
async fn left(workers: &[Handle], connections: usize) {
    eventually("the others have ended", || {
        tasks(workers).iter().sum::<usize>() == connections
    })
    .await;
}

#[tokio::test]
async fn each_worker_has_as_many_connections_as_the_next() {
    let workers = Workers::start("worker", 3);
    let handles = workers.handles();
    let server = TestServer::start_on(workers, |_| {}).await;
    let mut clients = Vec::new();
    for number in 0..6 {
        let name = format!("mme{number}.localdomain");
        clients.push(server.open(&name).await);
    }
    assert_eq!(tasks(&handles), [2, 2, 2]);
    for client in &mut clients {
        for (imei, expected) in KNOWN {
            assert_eq!(client.check(imei).await, expected);
        }
    }
    assert_eq!(tasks(&handles), [2, 2, 2], "they stay where they are");
    // Those that end make room where they were.
    let mut rest: Vec<_> = clients.drain(4..).collect();
    drop(clients);
    left(&handles, 2).await;
    rest.push(server.open("new.localdomain").await);
    assert_eq!(tasks(&handles), [1, 1, 1]);
}

#[tokio::test]
async fn peers_that_are_called_are_handed_out_alike() {
    let mut agents = Vec::new();
    for number in 0..4 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        agents.push((format!("agent{number}.localdomain"), listener));
    }
    let workers = Workers::start("worker", 2);
    let handles = workers.handles();
    let server = TestServer::start_on(workers, |config| {
        let agents = agents.iter().map(|(name, listener)| Connect {
            address: format!("tcp://{}", listener.local_addr().unwrap())
                .parse()
                .unwrap(),
            origin_host: name.clone(),
            origin_realm: None,
            retry: std::time::Duration::from_secs(1),
        });
        config.diameter.connect = agents.collect();
    })
    .await;
    let mut called = Vec::new();
    for (name, listener) in &agents {
        let accepted = timeout(PATIENCE, listener.accept()).await;
        let (stream, _) = accepted.expect("a call").unwrap();
        let mut agent = TestClient::over(stream);
        let cer = agent.receive().await.expect("a CER");
        agent.send(&cea(name, &cer, 2001)).await;
        assert_eq!(agent.check(KNOWN[1].0).await, KNOWN[1].1);
        called.push(agent);
    }
    assert_eq!(tasks(&handles), [2, 2]);
    let _mme = server.open("mme.localdomain").await;
    let _other = server.open("other.localdomain").await;
    assert_eq!(tasks(&handles), [3, 3]);
}

/// The old connection is asked for life by the new one, which another worker
/// has.
#[tokio::test]
async fn a_peer_that_comes_again_is_found_with_another_worker() {
    let workers = Workers::start("worker", 2);
    let handles = workers.handles();
    let server = TestServer::start_on(workers, |_| {}).await;
    let mut old = server.open("mme.localdomain").await;
    let mut new = server.connect().await;
    new.send(&cer("mme.localdomain", 0)).await;
    let demand = old.receive().await.unwrap();
    assert_eq!((command(&demand), is_request(&demand)), (280, true));
    assert_eq!(tasks(&handles), [1, 1]);
    old.send(&plain_answer(&demand)).await;
    assert_ne!(result_code(&new.receive().await.unwrap()), Some(2001));
    assert_eq!(old.check(KNOWN[0].0).await, KNOWN[0].1);
    drop(new);
    left(&handles, 1).await;
}
