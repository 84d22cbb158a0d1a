//! What holds keys cannot be printed, and is erased when it is dropped. Checked by the compiler.
#![cfg(feature = "dangerous-dev-attester")]

use std::fmt::{Debug, Display};
use steve_protocol::aead::AeadKey;
use steve_protocol::evidence::dev::DevAuthority;
use steve_protocol::frame::{FrameOpener, FrameSealer};
use steve_protocol::handshake::{
    ClientHandshake, EarlyHandshake, EarlyOutcome, EarlyReply, EarlyRequest, EnclaveKeys,
    PendingEarly, ServerHandshake,
};
use steve_protocol::kem::{Exporter, KeyPair};
use steve_protocol::schedule::{SessionSecrets, TrafficKey};
use steve_protocol::session::{
    ClientSession, ClientStream, PendingStream, ServerSession, ServerStream,
};
use steve_protocol::stream::{MessageOpener, MessageSealer, Request, Response};
use zeroize::ZeroizeOnDrop;

/// Two implementations fit a type that is `Debug` or `Display`, so that the compiler cannot choose.
trait Silent<Which> {
    const OK: () = ();
}

impl<T: ?Sized> Silent<()> for T {}
impl<T: Debug + ?Sized> Silent<u8> for T {}
impl<T: Display + ?Sized> Silent<u16> for T {}

macro_rules! cannot_be_printed {
    ($($type:ty),* $(,)?) => { $(const _: () = <$type as Silent<_>>::OK;)* };
}

cannot_be_printed!(
    AeadKey,
    ClientHandshake,
    ClientSession,
    ClientStream,
    DevAuthority,
    EarlyHandshake,
    EarlyOutcome,
    EarlyReply,
    EarlyRequest,
    EnclaveKeys,
    Exporter,
    FrameOpener,
    FrameSealer,
    KeyPair,
    MessageOpener<Request>,
    MessageSealer<Response>,
    PendingEarly,
    PendingStream,
    ServerHandshake,
    ServerSession,
    ServerStream,
    SessionSecrets,
    TrafficKey,
);

const fn is_erased<T: ZeroizeOnDrop>() {}

const _: () = {
    is_erased::<SessionSecrets>();
    is_erased::<TrafficKey>();
};
