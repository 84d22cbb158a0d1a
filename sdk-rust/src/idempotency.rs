//! Requests that the enclave executes once, however often they are sent (SPEC.md, Section 13.5).

use crate::early::Offer;
use crate::error::{Error, UnknownOutcome};
use crate::session::Sending;
use crate::trusted;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use rand::Rng;
use std::fmt;
use std::sync::Arc;
use steve_protocol::key_config::Instance;

pub(crate) const FIELD: HeaderName = HeaderName::from_static("steve-idempotency-key");

/// Put into the extensions of a request: while its proxy process lives, the enclave executes one
/// request with this key, once. It answers repetitions with the first response.
///
/// So the client sends the request again by itself, whatever its method, when the network or the host
/// failed, but only to the enclave process that may have got it before: another one remembers nothing.
/// If there is only another one it fails with [`Error::OutcomeUnknown`]. A host that holds a copy back
/// can have it executed first of all, at any time until the session ends, and never a second time.
///
/// One key is for one request: the same method, URI, fields and body. Whoever knows the key, and that,
/// can read the response: it must come from a random generator, and is a secret of this client. The
/// app does not see it. If the request is sent [`Early`](crate::Early), what is said there of decrypting
/// the request goes for the response as well, while that is kept. The enclave reads the whole request before it hands it to the app, and limits
/// it (1 MiB, unless configured otherwise).
///
/// A request that takes too long fails with [`Error::OutcomeUnknown`] as well, if any of it may have been
/// sent. A future that was dropped says nothing.
///
/// A response whose body is cut off is not asked for again; the same request with the same key gives
/// it once more, as long as the enclave keeps it. An answer with the field `steve-error` tells when it
/// is not (`idempotency_response_gone`: the request was executed), when another request had the key
/// (`idempotency_mismatch`) or when no more keys can be remembered (`idempotency_full`).
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    bytes: [u8; 32],
    instance: Option<Instance>,
}

impl IdempotencyKey {
    /// A new key. An error when the operating system gives no random numbers.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0; 32];
        trusted::rng()?.fill_bytes(&mut bytes);
        Ok(Self::from_bytes(bytes))
    }

    /// A key that was kept. Use [`for_instance`](Self::for_instance) as well, unless the request was
    /// certainly never sent.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, instance: None }
    }

    /// What to keep, in a place that is as secret as the request.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Sends the request to this proxy process only. An application that keeps the key keeps this along
    /// with it, from [`Client::verify`](crate::Client::verify) before it sends
    /// (`enclave.instance()`), or from [`Error::OutcomeUnknown`].
    pub fn for_instance(mut self, instance: [u8; 16]) -> Self {
        self.instance = Some(instance);
        self
    }

    pub(crate) fn instance(&self) -> Option<Instance> {
        self.instance
    }

    /// In base64url without padding.
    pub(crate) fn value(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(BASE64_URL_SAFE_NO_PAD.encode(self.bytes)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Does not show the key.
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyKey").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// Which enclave processes a request may be sent to, after what became of it before.
pub(crate) struct Reach {
    /// Only there it is executed once at most.
    only: Option<Instance>,
    has_key: bool,
    /// What is known of the attempt that may have been executed.
    unknown: Option<Error>,
    /// Where the attempt that goes on may have been sent.
    trying: Trying,
}

enum Trying {
    Nowhere,
    Stream(Instance),
    Early(Arc<Offer>),
}

impl Reach {
    /// That of a request which may have a key. One that is repeatable without it may go anywhere.
    pub(crate) fn new(key: Option<&IdempotencyKey>, repeatable: bool) -> Self {
        let key = key.filter(|key| !repeatable || key.instance.is_some());
        let only = key.and_then(IdempotencyKey::instance);
        Self { only, has_key: key.is_some(), unknown: None, trying: Trying::Nowhere }
    }

    /// With a key a request may be sent again.
    pub(crate) fn sending(&self, repeatable: bool) -> Sending {
        if repeatable || self.has_key { Sending::Repeatable } else { Sending::Once }
    }

    pub(crate) fn only(&self) -> Option<Instance> {
        self.only
    }

    /// Errors if the request must not be sent to this instance.
    pub(crate) fn check(&self, instance: Instance) -> Result<(), Error> {
        match self.only {
            Some(only) if only != instance => {
                Err(self.outcome_unknown(only, UnknownOutcome::OtherInstance))
            }
            _ => Ok(()),
        }
    }

    /// Notes that an attempt on a session with this instance begins.
    pub(crate) fn try_stream(&mut self, instance: Instance) {
        self.trying = Trying::Stream(instance);
    }

    /// Notes that an attempt begins which may go along with a handshake.
    pub(crate) fn try_early(&mut self, offer: &Arc<Offer>) {
        self.trying = Trying::Early(offer.clone());
    }

    /// Notes that the attempt has ended, whichever way.
    pub(crate) fn tried(&mut self) {
        self.trying = Trying::Nowhere;
    }

    /// What to report when the request is given up for `error` while an attempt goes on.
    pub(crate) fn give_up(&self, error: Error) -> Error {
        let trying = match &self.trying {
            Trying::Nowhere => None,
            Trying::Stream(instance) => Some(*instance),
            Trying::Early(offer) => offer.instance(),
        };
        let before = self.only.filter(|_| self.unknown.is_some());
        match before.or(trying).filter(|_| self.has_key) {
            Some(instance) => Error::OutcomeUnknown {
                reason: UnknownOutcome::NoAnswer,
                instance,
                cause: Some(Arc::new(error)),
            },
            None => error,
        }
    }

    /// Notes that this instance may have executed the request.
    pub(crate) fn may_be_executed(&mut self, instance: Instance, error: &Error) {
        if self.has_key {
            self.only.get_or_insert(instance);
            self.unknown = Some(error.clone());
        }
    }

    /// What to report when `error` is the last one: that of the last attempt need not say what
    /// became of those before.
    pub(crate) fn conclude(&self, error: Error) -> Error {
        match (self.only, &self.unknown) {
            (Some(only), Some(_)) => {
                let reason = UnknownOutcome::NoAnswer;
                Error::OutcomeUnknown { reason, instance: only, cause: Some(Arc::new(error)) }
            }
            _ => error,
        }
    }

    fn outcome_unknown(&self, instance: Instance, reason: UnknownOutcome) -> Error {
        let cause = self.unknown.clone().map(Arc::new);
        Error::OutcomeUnknown { reason, instance, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_43_characters_and_is_not_shown() {
        let key = IdempotencyKey::random().unwrap();
        assert_eq!(key.value().unwrap().len(), 43);
        assert_ne!(key, IdempotencyKey::random().unwrap());
        assert_eq!(key, IdempotencyKey::from_bytes(*key.as_bytes()));
        assert_eq!(format!("{key:?}"), "IdempotencyKey { instance: None, .. }");
    }

    #[test]
    fn row_08_what_may_be_executed_stays_with_its_instance() {
        let key = IdempotencyKey::random().unwrap();
        let mut reach = Reach::new(Some(&key), false);
        assert!(reach.check([1; 16]).is_ok() && reach.check([2; 16]).is_ok());
        assert!(matches!(reach.conclude(Error::NoEntropy), Error::NoEntropy));
        reach.may_be_executed([1; 16], &Error::NotText);
        assert!(reach.check([1; 16]).is_ok());
        let error = reach.check([2; 16]).unwrap_err();
        let Error::OutcomeUnknown { reason, instance, .. } = &error else { panic!("{error}") };
        assert_eq!((*reason, *instance), (UnknownOutcome::OtherInstance, [1; 16]));
        let error = reach.conclude(Error::NoEntropy);
        let Error::OutcomeUnknown { reason, .. } = &error else { panic!("{error}") };
        assert_eq!(*reason, UnknownOutcome::NoAnswer);

        let kept = Reach::new(Some(&key.for_instance([1; 16])), true);
        assert!(kept.check([2; 16]).is_err());
        assert!(Reach::new(None, true).check([2; 16]).is_ok());
    }
}
