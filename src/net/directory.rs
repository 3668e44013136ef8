//! Which connection each peer holds: a peer has one (RFC 6733 section 5.6.4).
//!
//! A second connection of the same Origin-Host is either a mistake or a peer
//! that came back before its old connection was noticed to be dead. The new
//! one wins if its Origin-State-Id is higher, for then the peer has restarted;
//! otherwise the old one is asked for a sign of life, and wins if it gives one.
//! Waiting for the watchdog instead would lock a crashed client out for two to
//! three intervals.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::connection::Peer;

/// How many commands may wait for a connection's task. It reads them at every
/// turn, so more than one is rare.
pub(super) const COMMANDS: usize = 4;

/// How often a claim is tried: each try ends with one holder less.
const TRIES: usize = 4;

/// What a connection's task can be told.
#[derive(Debug)]
pub(super) enum Command {
    /// Another connection of the peer has taken over.
    Supersede,
    /// Show whether the peer lives: answer the sender if it does, drop it and
    /// end if not.
    DemandLife(oneshot::Sender<()>),
}

/// The connections of all peers.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// By Origin-Host in lower case.
    holders: Mutex<HashMap<String, Holder>>,
}

/// The connection that a peer holds.
#[derive(Clone, Debug)]
struct Holder {
    /// Tells connections apart.
    id: u64,
    /// The Origin-State-Id of its CER.
    state_id: u32,
    /// How to reach its task.
    commands: mpsc::Sender<Command>,
}

/// A peer's place in the directory, given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory.
    directory: Arc<Directory>,
    /// The peer.
    key: String,
    /// The connection.
    id: u64,
}

impl Directory {
    /// Claims the peer's place for the connection `id`; `None` if another
    /// holds it and lives.
    pub(super) async fn claim(
        self: Arc<Self>,
        peer: Peer,
        id: u64,
        commands: mpsc::Sender<Command>,
    ) -> Option<Place> {
        let key = peer.origin_host.to_ascii_lowercase();
        let new = Holder {
            id,
            state_id: peer.state_id,
            commands,
        };
        let place = Place {
            directory: Arc::clone(&self),
            key: key.clone(),
            id,
        };
        for _ in 0..TRIES {
            let Some((holder, takes_over)) = self.take(&key, &new) else {
                return Some(place);
            };
            if takes_over {
                // Fails only when that connection is over already.
                let _ = holder.commands.send(Command::Supersede).await;
                return Some(place);
            }
            let (alive, answer) = oneshot::channel();
            let asked = holder.commands.send(Command::DemandLife(alive)).await;
            if asked.is_ok() && answer.await.is_ok() {
                break;
            }
            self.release(&key, holder.id);
        }
        // Not ours: must not be given up when `place` is dropped, and is not,
        // as the holder has another id.
        None
    }

    /// Puts `new` in the place of `key` if that is free or its holder has a
    /// lower Origin-State-Id. Returns the holder found, and whether it was
    /// replaced.
    fn take(&self, key: &str, new: &Holder) -> Option<(Holder, bool)> {
        let mut holders = self.lock();
        let Some(holder) = holders.get_mut(key) else {
            holders.insert(key.to_owned(), new.clone());
            return None;
        };
        // 0 allows no inference (RFC 6733 section 8.16).
        let restarted = holder.state_id != 0 && new.state_id > holder.state_id;
        let found = holder.clone();
        if restarted {
            *holder = new.clone();
        }
        Some((found, restarted))
    }

    /// Frees the place of `key` if connection `id` holds it.
    fn release(&self, key: &str, id: u64) {
        let mut holders = self.lock();
        if holders.get(key).is_some_and(|holder| holder.id == id) {
            holders.remove(key);
        }
    }

    /// The holders. A task that panicked while it held the lock left the map
    /// whole: every change is a single insertion or removal.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Holder>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn peer(name: &str, state_id: u32) -> Peer {
        Peer {
            origin_host: name.to_owned(),
            origin_realm: "localdomain".to_owned(),
            state_id,
        }
    }

    /// Claims a place and, in case it is held, lets the holder's side answer.
    async fn claim(
        directory: &Arc<Directory>,
        peer: Peer,
        id: u64,
    ) -> (Option<Place>, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        (Arc::clone(directory).claim(peer, id, commands).await, inbox)
    }

    #[tokio::test]
    async fn a_free_place_is_given_and_given_up() {
        let directory = Arc::new(Directory::default());
        let (place, _inbox) = claim(&directory, peer("MME", 1), 1).await;
        assert!(place.is_some());
        assert_eq!(directory.lock().len(), 1);
        drop(place);
        assert!(directory.lock().is_empty());
    }

    #[tokio::test]
    async fn a_restarted_peer_takes_over_at_once() {
        let directory = Arc::new(Directory::default());
        let (old, mut old_inbox) = claim(&directory, peer("mme", 7), 1).await;
        let (new, _inbox) = claim(&directory, peer("MME", 8), 2).await;
        assert!(new.is_some());
        assert!(matches!(old_inbox.try_recv(), Ok(Command::Supersede)));
        drop(old);
        assert_eq!(
            directory.lock().len(),
            1,
            "the new one's place is not given up by the old"
        );
    }

    #[tokio::test]
    async fn a_living_holder_stays() {
        let directory = Arc::new(Directory::default());
        let (_old, mut old_inbox) = claim(&directory, peer("mme", 7), 1).await;
        let living = tokio::spawn(async move {
            if let Some(Command::DemandLife(alive)) = old_inbox.recv().await {
                alive.send(()).unwrap();
            }
            old_inbox
        });
        let (new, _inbox) = claim(&directory, peer("mme", 7), 2).await;
        assert!(new.is_none());
        assert_eq!(directory.lock().get("mme").map(|holder| holder.id), Some(1));
        living.await.unwrap();
    }

    #[tokio::test]
    async fn a_dead_holder_is_replaced() {
        let directory = Arc::new(Directory::default());
        let (_old, mut old_inbox) = claim(&directory, peer("mme", 0), 1).await;
        let dying = tokio::spawn(async move {
            // Drops the demand unanswered, as a connection without life does.
            let _ = old_inbox.recv().await;
        });
        let (new, _inbox) = claim(&directory, peer("mme", 9), 2).await;
        assert!(new.is_some(), "0 gives no inference, so life decides");
        assert_eq!(directory.lock().get("mme").map(|holder| holder.id), Some(2));
        dying.await.unwrap();
    }
}
