//! A socket between a client and an owner, on which the answer to a verb is lost with the owner.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{Place, Started};

/// The line, and the owner behind it.
pub(super) struct Line {
    owner: Arc<Mutex<Option<Started>>>,
    socket: PathBuf,
}

impl Line {
    /// Comes between. Everything is handed on, until a verb is answered: then the owner is killed, and its answer lost.
    pub(super) fn cut(place: &Place, owner: Started) -> Self {
        let socket = place.state().join("engine.sock");
        let behind = place.state().join("behind.sock");
        std::fs::rename(&socket, &behind).expect("the owner listens");
        let listener = UnixListener::bind(&socket).expect("the folder can be written");
        let owner = Arc::new(Mutex::new(Some(owner)));
        let killed = owner.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (behind, owner) = (behind.clone(), killed.clone());
                std::thread::spawn(move || hand_on(client, &behind, &owner));
            }
        });
        Self { owner, socket }
    }

    /// The owner is dead by now.
    pub(super) fn end(self) {
        assert!(self.owner.lock().expect("no panic").is_none(), "no verb came through");
        drop(std::fs::remove_file(&self.socket));
    }
}

fn hand_on(mut client: UnixStream, behind: &PathBuf, owner: &Arc<Mutex<Option<Started>>>) {
    let Ok(mut server) = UnixStream::connect(behind) else { return };
    let (mut bytes, mut answer) = ([0; 65536], [0; 65536]);
    // One request at a time, each in one piece: what the program sends is that short.
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let request = String::from_utf8_lossy(&bytes[..count]).into_owned();
        drop(server.write_all(&bytes[..count]));
        let whole = request.starts_with("GET") || request.contains('}');
        if !whole {
            continue;
        }
        let Ok(count @ 1..) = server.read(&mut answer) else { return };
        if request.contains("\"windowExtend\"") && !request.contains("\"preview\":true") {
            if let Some(owner) = owner.lock().expect("no panic").take() {
                owner.kill();
            }
            return;
        }
        drop(client.write_all(&answer[..count]));
        server.set_read_timeout(Some(std::time::Duration::from_millis(100))).expect("a timeout can be set");
        while let Ok(count @ 1..) = server.read(&mut answer) {
            drop(client.write_all(&answer[..count]));
        }
        server.set_read_timeout(None).expect("a timeout can be set");
    }
}
