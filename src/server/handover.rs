//! How a connection leaves HTTP: the exchange that answered `101` hands it over, and whoever drove it runs it on.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::io::Wire;
use crate::base::io::Tunnel;

/// What takes the connection over, where anything does.
#[derive(Default)]
pub(super) struct Handover(Mutex<Option<(OnUpgrade, Tunnel)>>);

impl Handover {
    pub(super) fn offer(&self, upgrade: OnUpgrade, tunnel: Tunnel) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, tunnel));
    }

    /// To be called when HTTP is over on this connection: runs the tunnel to its end. One whose connection broke before
    /// the answer was out is dropped.
    pub(super) async fn run(&self) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((upgrade, tunnel)) = taken else { return };
        let Ok(upgraded) = upgrade.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Wire>>() else { return };
        let early: Bytes = parts.read_buf;
        // What follows is no HTTP: neither the scanner nor the clocks of the wire are for it.
        tunnel(early, Box::new(parts.io.into_inner().into_stream())).await;
    }
}
