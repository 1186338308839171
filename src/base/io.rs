//! Byte streams, whatever they run over.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What takes the app's connection over after `101 Switching Protocols`: gets the bytes that came before their time, and
/// the connection. It is over when its future is; it must heed the drain's cut.
pub type Tunnel = Box<dyn FnOnce(Bytes, Box<dyn Io>) -> Tunnelling + Send>;

/// A connection taken over.
pub type Tunnelling = Pin<Box<dyn Future<Output = ()> + Send>>;
