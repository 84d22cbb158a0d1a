//! Session setup on one core, beside a full TLS 1.3 handshake of rustls; and the appraisal of
//! evidence beside the signatures in it. All in memory.

use crate::Result;
use crate::channel::{Cipher, tls_client};
use crate::figures::median;
use crate::http::Http;
use crate::steve::{EVIDENCE_PATH, now_ms, policy, rng};
use p384::ecdsa::signature::{Signer, Verifier};
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use steve_protocol::evidence::{Appraiser, Challenge, TrustAnchor};
use steve_protocol::handshake::{ClientHello, EnclaveKeys, ServerHandshake, SessionParameters};
use steve_protocol::kem::{self, KeyPair};
use steve_protocol::schedule;
use steve_protocol::suite::Suite;

/// Handshakes in a slice.
const HANDSHAKES: u32 = 50;
const APPRAISALS: u32 = 3;
/// Signatures in the evidence of a Nitro Enclave: four certificates below the root, and the
/// document.
const SIGNATURES: u32 = 5;
/// About what a certificate's signature covers, in bytes.
const SIGNED_LEN: usize = 600;

/// Microseconds of the server's side of one handshake or of one appraisal, with ratios of speeds.
pub(crate) struct Setup {
    pub(crate) rustls: f64,
    pub(crate) x25519: f64,
    pub(crate) xwing: f64,
    pub(crate) x25519_speed: f64,
    pub(crate) xwing_speed: f64,
    pub(crate) signatures: f64,
    pub(crate) appraisal: f64,
    /// Time of the appraisal beside that of the signatures.
    pub(crate) appraisal_ratio: f64,
}

/// Evidence that a proxy gave.
pub(crate) struct Sample {
    evidence: Vec<u8>,
    challenge: Challenge,
    sent_ms: u64,
    appraiser: Appraiser,
}

impl Sample {
    pub(crate) async fn take(http: &mut Http, root: TrustAnchor) -> Result<Self> {
        let challenge = Challenge::random(&mut rng()?);
        let sent_ms = now_ms();
        let evidence = http.post(EVIDENCE_PATH, challenge.as_bytes()).await?.to_vec();
        let appraiser = Appraiser::new(policy()?).dangerous_with_anchor(root);
        Ok(Self { evidence, challenge, sent_ms, appraiser })
    }

    fn appraise(&self) -> Result<()> {
        let Self { evidence, challenge, sent_ms, appraiser } = self;
        let enclave = appraiser.appraise(evidence, challenge, *sent_ms, "bench", now_ms());
        enclave.map_err(|refusal| refusal.to_string())?;
        Ok(())
    }
}

/// Interleaved rounds of everything.
pub(crate) fn measure(sample: &Sample, rounds: usize) -> Result<Setup> {
    let tls = Tls::new()?;
    let (x25519, xwing) = (Proxy::new(Suite::X25519Aes256Gcm)?, Proxy::new(Suite::XWingAes256Gcm)?);
    let p384 = P384::new()?;
    let mut all: Vec<[f64; 5]> = Vec::new();
    for _ in 0..rounds {
        all.push([
            each(HANDSHAKES, || tls.handshake())?,
            each(HANDSHAKES, || x25519.handshake())?,
            each(HANDSHAKES, || xwing.handshake())?,
            each(APPRAISALS, || timed(|| p384.verify(SIGNATURES)))?,
            each(APPRAISALS, || timed(|| sample.appraise()))?,
        ]);
    }
    let of = |f: &dyn Fn(&[f64; 5]) -> f64| median(all.iter().map(f)).unwrap_or(f64::NAN);
    Ok(Setup {
        rustls: of(&|round| round[0]),
        x25519: of(&|round| round[1]),
        xwing: of(&|round| round[2]),
        x25519_speed: of(&|round| round[0] / round[1]),
        xwing_speed: of(&|round| round[0] / round[2]),
        signatures: of(&|round| round[3]),
        appraisal: of(&|round| round[4]),
        appraisal_ratio: of(&|round| round[4] / round[3]),
    })
}

/// Microseconds for each of `count`.
fn each(count: u32, mut one: impl FnMut() -> Result<Duration>) -> Result<f64> {
    let mut total = Duration::ZERO;
    for _ in 0..count {
        total += one()?;
    }
    Ok(total.as_secs_f64() * 1e6 / f64::from(count))
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    fn new() -> Result<Self> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        let client = tls_client(Cipher::Aes256, cert.der())?;
        Ok(Self { client, server: Arc::new(server) })
    }

    /// The server's time.
    fn handshake(&self) -> Result<Duration> {
        let name = ServerName::try_from("localhost")?;
        let mut client = ClientConnection::new(self.client.clone(), name)?;
        let begun = Instant::now();
        let mut server = ServerConnection::new(self.server.clone())?;
        let mut spent = begun.elapsed();
        while client.is_handshaking() || server.is_handshaking() {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight)?;
            }
            let begun = Instant::now();
            let mut rest = flight.as_slice();
            while !rest.is_empty() {
                server.read_tls(&mut rest)?;
                server.process_new_packets()?;
            }
            let mut answer = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut answer)?;
            }
            spent += begun.elapsed();
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest)?;
                client.process_new_packets()?;
            }
        }
        Ok(spent)
    }
}

struct Proxy {
    keys: EnclaveKeys,
    hello: Vec<u8>,
}

impl Proxy {
    fn new(suite: Suite) -> Result<Self> {
        let mut rng = rng()?;
        let keys = EnclaveKeys::generate(&[suite], 1, 1, [0; 32], [0; 32], &mut rng)?;
        let entry = keys.config().key(suite).ok_or("the suite is not offered")?.clone();
        let epk = KeyPair::generate(suite.kem(), &mut rng).public_key().to_vec();
        let th0 = schedule::th0(&keys.config().hash(), suite, &entry.key_id, &epk);
        let info = schedule::hello_info(&th0);
        let (enc, _) = kem::send(suite.kem(), &entry.public_key, &info, &mut rng)?;
        let hello = ClientHello { suite, early_data: false, key_id: entry.key_id, enc, epk };
        Ok(Self { hello: hello.encode(), keys })
    }

    fn handshake(&self) -> Result<Duration> {
        let parameters = SessionParameters {
            lifetime: Duration::from_secs(3600),
            idle_timeout: Duration::from_secs(600),
            max_head_size: 32_768,
            max_streams: 256,
        };
        let mut rng = rng()?;
        timed(|| {
            let hello = ClientHello::decode(black_box(&self.hello))?;
            let handshake = ServerHandshake::receive([&self.keys], &hello)?;
            black_box(handshake.reply(parameters, &mut rng)?);
            Ok(())
        })
    }
}

struct P384 {
    key: VerifyingKey,
    message: Vec<u8>,
    signature: Signature,
}

impl P384 {
    fn new() -> Result<Self> {
        let secret = SigningKey::from_slice(&[1; 48])?;
        let message = vec![5; SIGNED_LEN];
        let signature = secret.sign(&message);
        Ok(Self { key: *secret.verifying_key(), message, signature })
    }

    fn verify(&self, count: u32) -> Result<()> {
        for _ in 0..count {
            black_box(&self.key).verify(&self.message, &self.signature)?;
        }
        Ok(())
    }
}
