//! The table of peers: which connections each peer has, and whether it may
//! have one more.
//!
//! A peer has one connection (RFC 6733 section 5.6.4), or as many as are
//! configured. A connection takes a *place* under the peer's Origin-Host, an
//! accepted one when its CER has come and a dialled one before its CER is sent:
//!
//! * While there is room, it is given.
//! * If one of the places is a call of ours whose CEA has not come, both sides
//!   have called, and the election decides which connection stays.
//! * Otherwise it is either a mistake, or a peer that came back before its old
//!   connection was noticed to be dead. A higher Origin-State-Id tells that the
//!   peer has restarted, and the new connection takes over at once, if the peer
//!   has only one: several may be of processes that restart each by itself.
//!   Failing that, all are asked for a sign of life, and one that gives none
//!   makes room. Waiting for the watchdog instead would lock a crashed client
//!   out for two to three intervals.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use super::host_address;
use super::peers::{Call, Link};
use crate::base::admission::Admission;
use crate::base::disconnect::DisconnectCause;
use crate::base::peer::{Election, elect};
use crate::config::peers::Connect;
use crate::connection::{Peer, Refusal};

/// How many commands may wait for a connection's task. It reads them at every
/// turn, so more than one is rare.
pub(super) const COMMANDS: usize = 4;

/// How often a claim is tried: each try ends with one holder less.
const TRIES: usize = 4;

/// What a connection's task can be told by another.
#[derive(Debug)]
pub(super) enum Command {
    /// Another connection of the peer has taken over.
    Supersede,
    /// Show whether the peer lives: answer the sender if it does, drop it and
    /// end if not.
    DemandLife(oneshot::Sender<()>),
}

/// What holds for all connections at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// Who may be a peer.
    pub(super) admission: Arc<Admission>,
    /// Whom to call.
    pub(super) connect: Arc<[Connect]>,
    /// Set once all are to leave: the cause to tell the peers.
    pub(super) leave: Option<DisconnectCause>,
}

/// The connections of all peers.
#[derive(Debug)]
pub(super) struct Directory {
    /// Our own Origin-Host, for the election.
    own_host: String,
    /// What holds for all connections.
    orders: watch::Sender<Orders>,
    /// The places by Origin-Host in lower case.
    places: Mutex<BTreeMap<String, Vec<Holder>>>,
    /// What has become of the calls, in the order of the configuration.
    calls: Mutex<Vec<Arc<Call>>>,
    /// Marked as changed whenever a place is given up.
    freed: watch::Sender<()>,
}

/// A connection that has a place.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    /// Tells connections apart.
    id: u64,
    /// Whose it is; of a call before its CEA, whom it is to.
    pub(super) peer: Peer,
    /// Whether it is a call of ours whose CEA has not come.
    calling: bool,
    /// How to reach its task.
    commands: mpsc::Sender<Command>,
    /// What its task lets others see.
    pub(super) link: Arc<Link>,
}

/// A connection that looks for a place.
#[derive(Clone, Debug)]
pub(super) struct Applicant {
    /// Tells connections apart.
    pub(super) id: u64,
    /// How to reach its task.
    pub(super) commands: mpsc::Sender<Command>,
    /// What its task lets others see.
    pub(super) link: Arc<Link>,
}

/// A connection's place in the directory, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory.
    directory: Arc<Directory>,
    /// The peer.
    key: String,
    /// The connection.
    id: u64,
}

/// What came of looking for a place.
enum Taken {
    /// It is taken.
    Free,
    /// It is taken over from this holder.
    From(Holder),
    /// All are taken, by these; one may turn out to be dead.
    By(Vec<Holder>),
    /// The election is lost.
    Lost,
}

impl Directory {
    /// A directory without peers.
    pub(super) fn new(own_host: &str, orders: Orders) -> Self {
        Self {
            own_host: own_host.to_owned(),
            orders: watch::Sender::new(orders),
            places: Mutex::default(),
            calls: Mutex::default(),
            freed: watch::Sender::new(()),
        }
    }

    //----------- Orders

    /// What holds for all connections, now and from now on.
    pub(super) fn orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    /// Who may be a peer at the moment.
    pub(super) fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.orders.borrow().admission)
    }

    /// Changes what holds for all connections.
    pub(super) fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(change);
    }

    //----------- Places

    /// Claims a place for a connection that the peer has opened.
    pub(super) async fn claim(
        self: Arc<Self>,
        peer: Peer,
        applicant: Applicant,
    ) -> Result<Place, Refusal> {
        let admission = self.admission();
        let address = host_address(applicant.link.remote.ip());
        let (host, realm) = (peer.origin_host.as_bytes(), peer.origin_realm.as_bytes());
        if !admission.admits(host, realm, address) {
            return Err(Refusal::UnknownPeer);
        }
        let limit = admission.connections(host);
        let key = peer.origin_host.to_ascii_lowercase();
        let new = applicant.holder(peer, false);
        let place = |new: &Holder| Place {
            directory: Arc::clone(&self),
            key: key.clone(),
            id: new.id,
        };
        for _ in 0..TRIES {
            match self.take(&key, &new, limit) {
                Taken::Free => return Ok(place(&new)),
                Taken::From(old) => {
                    // Before waiting: the claim can be dropped meanwhile, and
                    // its place must not outlive it.
                    let place = place(&new);
                    // Fails only when that connection is over already.
                    let _ = old.commands.send(Command::Supersede).await;
                    return Ok(place);
                }
                Taken::Lost => return Err(Refusal::ElectionLost),
                Taken::By(holders) => {
                    if !self.free_dead(&key, holders).await {
                        break;
                    }
                }
            }
        }
        Err(Refusal::AlreadyConnected)
    }

    /// Takes a place for a call to the peer of this name; `None` if it has all
    /// the connections that it may have.
    pub(super) fn call(
        self: &Arc<Self>,
        origin_host: &str,
        origin_realm: &str,
        applicant: Applicant,
    ) -> Option<Place> {
        let callee = Peer {
            origin_host: origin_host.to_owned(),
            origin_realm: origin_realm.to_owned(),
            state_id: 0,
        };
        let key = origin_host.to_ascii_lowercase();
        let limit = self.admission().connections(origin_host.as_bytes());
        let id = applicant.id;
        let mut places = self.places();
        let holders = places.entry(key.clone()).or_default();
        if holders.len() >= limit {
            return None;
        }
        holders.push(applicant.holder(callee, true));
        Some(Place {
            directory: Arc::clone(self),
            key,
            id,
        })
    }

    /// Whether there is room for one more connection of the peer.
    pub(super) fn has_room(&self, origin_host: &str) -> bool {
        let limit = self.admission().connections(origin_host.as_bytes());
        let places = self.places();
        let holders = places.get(&origin_host.to_ascii_lowercase());
        holders.is_none_or(|holders| holders.len() < limit)
    }

    /// Marked as changed whenever a place is given up.
    pub(super) fn freed(&self) -> watch::Receiver<()> {
        self.freed.subscribe()
    }

    /// Puts `new` into a place, if one is free or can be taken over at once.
    fn take(&self, key: &str, new: &Holder, limit: usize) -> Taken {
        let mut places = self.places();
        let holders = places.entry(key.to_owned()).or_default();
        if holders.len() < limit {
            holders.push(new.clone());
            return Taken::Free;
        }
        if let Some(calling) = holders.iter_mut().find(|holder| holder.calling) {
            return match elect(self.own_host.as_bytes(), key.as_bytes()) {
                Election::KeepAccepted => Taken::From(std::mem::replace(calling, new.clone())),
                Election::KeepDialled => Taken::Lost,
            };
        }
        if let [only] = holders.as_mut_slice() {
            // 0 allows no inference (RFC 6733 section 8.16).
            let before = only.peer.state_id;
            if before != 0 && new.peer.state_id > before {
                return Taken::From(std::mem::replace(only, new.clone()));
            }
        }
        Taken::By(holders.clone())
    }

    /// Asks all holders for a sign of life, and frees the place of the first
    /// that gives none; `false` if all live.
    async fn free_dead(&self, key: &str, holders: Vec<Holder>) -> bool {
        let mut asked = Vec::with_capacity(holders.len());
        for holder in holders {
            let (alive, answer) = oneshot::channel();
            // Fails only when that connection is over already.
            let sent = holder.commands.send(Command::DemandLife(alive)).await;
            asked.push((holder.id, sent.is_ok().then_some(answer)));
        }
        for (id, answer) in asked {
            let alive = match answer {
                Some(answer) => answer.await.is_ok(),
                None => false,
            };
            if !alive {
                self.release(key, id);
                return true;
            }
        }
        false
    }

    /// Frees the place of connection `id`.
    fn release(&self, key: &str, id: u64) {
        let mut places = self.places();
        if let Some(holders) = places.get_mut(key) {
            holders.retain(|holder| holder.id != id);
            if holders.is_empty() {
                places.remove(key);
            }
        }
        drop(places);
        self.freed.send_replace(());
    }

    //----------- What others may see

    /// Lets `look` see who has a place.
    pub(super) fn look<R>(&self, look: impl FnOnce(&BTreeMap<String, Vec<Holder>>) -> R) -> R {
        look(&self.places())
    }

    /// What has become of the calls.
    pub(super) fn calls(&self) -> MutexGuard<'_, Vec<Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The places. A task that panicked while it held the lock left the map
    /// whole: every change is a single insertion or removal.
    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Holder>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Applicant {
    /// The applicant with a place.
    fn holder(self, peer: Peer, calling: bool) -> Holder {
        Holder {
            id: self.id,
            peer,
            calling,
            commands: self.commands,
            link: self.link,
        }
    }
}

impl Place {
    /// Takes note that the peer that was called has answered with this CEA.
    /// Fails if the place was lost meanwhile: then a command to end is on its
    /// way.
    pub(super) fn answered(&self, peer: &Peer) {
        let mut places = self.directory.places();
        let holders = places.get_mut(&self.key).into_iter().flatten();
        if let Some(holder) = { holders }.find(|holder| holder.id == self.id) {
            holder.calling = false;
            holder.peer.clone_from(peer);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.directory.release(&self.key, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::admission::KnownPeer;

    fn peer(name: &str, state_id: u32) -> Peer {
        Peer {
            origin_host: name.to_owned(),
            origin_realm: "localdomain".to_owned(),
            state_id,
        }
    }

    /// A directory that admits all, with so many connections a peer.
    fn directory(connections: u16) -> Arc<Directory> {
        let admission = Admission {
            unknown_peers: true,
            connections,
            ..Admission::default()
        };
        let orders = Orders {
            admission: Arc::new(admission),
            ..Orders::default()
        };
        Arc::new(Directory::new("M.eir", orders))
    }

    fn applicant(id: u64) -> (Applicant, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let link = Arc::new(Link::example());
        (Applicant { id, commands, link }, inbox)
    }

    /// Claims a place.
    async fn claim(
        directory: &Arc<Directory>,
        peer: Peer,
        id: u64,
    ) -> (Result<Place, Refusal>, mpsc::Receiver<Command>) {
        let (applicant, inbox) = applicant(id);
        (Arc::clone(directory).claim(peer, applicant).await, inbox)
    }

    /// The ids of those who have a place.
    fn ids(directory: &Directory, key: &str) -> Vec<u64> {
        let places = directory.places();
        let holders = places.get(key).into_iter().flatten();
        holders.map(|holder| holder.id).collect()
    }

    /// A holder's side that answers, or drops, each demand for life.
    fn holder(mut inbox: mpsc::Receiver<Command>, lives: bool) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            while let Some(Command::DemandLife(alive)) = inbox.recv().await {
                if lives {
                    alive.send(()).unwrap();
                }
            }
        })
    }

    #[tokio::test]
    async fn a_free_place_is_given_and_given_up() {
        let directory = directory(1);
        let freed = directory.freed();
        let (place, _inbox) = claim(&directory, peer("MME", 1), 1).await;
        assert_eq!(ids(&directory, "mme"), [1]);
        assert!(!freed.has_changed().unwrap());
        drop(place);
        assert!(directory.places().is_empty());
        assert!(freed.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_restarted_peer_takes_over_at_once() {
        let directory = directory(1);
        let (old, mut old_inbox) = claim(&directory, peer("mme", 7), 1).await;
        let (new, _inbox) = claim(&directory, peer("MME", 8), 2).await;
        assert!(new.is_ok());
        assert!(matches!(old_inbox.try_recv(), Ok(Command::Supersede)));
        drop(old);
        let held = ids(&directory, "mme");
        assert_eq!(held, [2], "the new one's place is not given up by the old");
    }

    /// The applicant may be gone while the old connection is being told.
    #[tokio::test]
    async fn a_claim_that_is_given_up_leaves_no_place_behind() {
        let directory = directory(1);
        let (old, _inbox) = claim(&directory, peer("mme", 7), 1).await;
        let commands = directory.places()["mme"][0].commands.clone();
        while commands.try_send(Command::Supersede).is_ok() {}
        let (applicant, _new_inbox) = applicant(2);
        let claiming = Arc::clone(&directory).claim(peer("mme", 8), applicant);
        assert!(futures_util::FutureExt::now_or_never(claiming).is_none());
        drop(old);
        assert!(directory.has_room("mme"));
        assert!(directory.places().is_empty());
    }

    #[tokio::test]
    async fn a_living_holder_stays() {
        let directory = directory(1);
        let (_old, inbox) = claim(&directory, peer("mme", 7), 1).await;
        holder(inbox, true);
        let (new, _inbox) = claim(&directory, peer("mme", 7), 2).await;
        assert_eq!(new.unwrap_err(), Refusal::AlreadyConnected);
        assert_eq!(ids(&directory, "mme"), [1]);
    }

    #[tokio::test]
    async fn a_dead_holder_is_replaced() {
        let directory = directory(1);
        let (_old, inbox) = claim(&directory, peer("mme", 0), 1).await;
        holder(inbox, false);
        let (new, _inbox) = claim(&directory, peer("mme", 9), 2).await;
        assert!(new.is_ok(), "0 gives no inference, so life decides");
        assert_eq!(ids(&directory, "mme"), [2]);
    }

    /// With several connections, the silent one goes, whatever their state ids
    /// are: each may be of a process of its own.
    #[tokio::test]
    async fn at_the_limit_the_silent_one_makes_room() {
        let directory = directory(3);
        let mut places = Vec::new();
        for (id, lives) in [(1, true), (2, false), (3, true)] {
            let (place, inbox) = claim(&directory, peer("dra", 7), id).await;
            places.push(place.unwrap());
            holder(inbox, lives);
        }
        let (new, inbox) = claim(&directory, peer("dra", 100), 4).await;
        places.push(new.unwrap());
        holder(inbox, true);
        assert_eq!(ids(&directory, "dra"), [1, 3, 4]);
        let (new, _inbox) = claim(&directory, peer("dra", 200), 5).await;
        assert_eq!(new.unwrap_err(), Refusal::AlreadyConnected);
    }

    #[tokio::test]
    async fn who_is_not_admitted_has_no_place() {
        let directory = directory(1);
        let (_living, _inbox) = claim(&directory, peer("mme", 1), 1).await;
        directory.order(|orders| orders.admission = Arc::default());
        for (name, id) in [("mme", 2), ("other", 3)] {
            let (new, _inbox) = claim(&directory, peer(name, 9), id).await;
            assert_eq!(new.unwrap_err(), Refusal::UnknownPeer);
        }
        assert_eq!(ids(&directory, "mme"), [1]);
    }

    /// RFC 6733 section 5.6.4. Our name is "m.eir".
    #[tokio::test]
    async fn when_both_sides_call_the_greater_name_keeps_what_it_accepted() {
        for (name, won) in [
            ("a.dra", true),
            ("L.dra", true),
            ("z.dra", false),
            ("N", false),
        ] {
            let directory = directory(1);
            let (caller, mut inbox) = applicant(1);
            let call = directory.call(name, "", caller).unwrap();
            assert!(!directory.has_room(name));
            let (accepted, _inbox) = claim(&directory, peer(name, 5), 2).await;
            let key = name.to_ascii_lowercase();
            if won {
                assert!(accepted.is_ok());
                assert!(matches!(inbox.try_recv(), Ok(Command::Supersede)));
                assert_eq!(ids(&directory, &key), [2]);
                // The CEA came too late.
                call.answered(&peer(name, 5));
                drop(call);
                assert_eq!(ids(&directory, &key), [2]);
            } else {
                assert_eq!(accepted.unwrap_err(), Refusal::ElectionLost);
                assert!(inbox.try_recv().is_err());
                assert_eq!(ids(&directory, &key), [1]);
            }
        }
    }

    /// An open call is a connection like others: no election.
    #[tokio::test]
    async fn a_call_that_was_answered_is_asked_for_life() {
        let directory = directory(1);
        let (caller, inbox) = applicant(1);
        let call = directory.call("a.dra", "", caller).unwrap();
        call.answered(&peer("A.dra", 0));
        holder(inbox, true);
        let (accepted, _inbox) = claim(&directory, peer("a.dra", 5), 2).await;
        assert_eq!(accepted.unwrap_err(), Refusal::AlreadyConnected);
        drop(call);
        assert!(directory.has_room("a.dra"));
    }

    #[tokio::test]
    async fn a_peer_with_room_is_called_as_well() {
        let directory = directory(1);
        directory.order(|orders| {
            orders.admission = Arc::new(Admission {
                unknown_peers: true,
                peers: vec![KnownPeer {
                    origin_host: "dra".to_owned(),
                    connections: Some(2),
                    ..KnownPeer::default()
                }],
                connections: 1,
                ..Admission::default()
            });
        });
        let (_accepted, _inbox) = claim(&directory, peer("dra", 5), 1).await;
        let (_call, _) = (directory.call("DRA", "", applicant(2).0).unwrap(), ());
        assert!(directory.call("DRA", "", applicant(3).0).is_none());
        assert_eq!(ids(&directory, "dra"), [1, 2]);
    }
}
