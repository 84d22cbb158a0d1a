//! What group commit is worth: many clients at once ask for fresh evidence from an attester that
//! takes 5 ms a call and does one call at a time, as the driver of the NSM does.
//!
//! Every client has its own connection and challenge, and appraises what it gets.

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use steve_protocol::evidence::{Appraiser, Challenge, PcrProfile, Policy};
use steve_proxy::attester::{AttestError, Attester, DevAttester};
use steve_proxy::{Config, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CLIENTS: usize = 2000;
const CALL: Duration = Duration::from_millis(5);

/// One call at a time, each of at least 5 ms.
struct Serial(DevAttester, Arc<AtomicUsize>);

impl Attester for Serial {
    fn attest(&mut self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, AttestError> {
        self.1.fetch_add(1, Relaxed);
        sleep(CALL);
        self.0.attest(user_data, nonce)
    }

    fn random(&mut self) -> Result<Option<Vec<u8>>, AttestError> {
        self.0.random()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}

/// The evidence, and the time from the connection to its last byte.
async fn challenge(
    proxy: SocketAddr,
    challenge: Challenge,
) -> std::io::Result<(Challenge, Vec<u8>, Duration)> {
    let begun = Instant::now();
    let mut io = TcpStream::connect(proxy).await?;
    let head = "POST /.well-known/steve/v3/evidence HTTP/1.1\r\nhost: bench\r\n\
                content-length: 32\r\nconnection: close\r\n\r\n";
    io.write_all(&[head.as_bytes(), challenge.as_bytes()].concat()).await?;
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await?;
    let elapsed = begun.elapsed();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
    Ok((challenge, answer.split_off(body), elapsed))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let attester = DevAttester::new()?;
    let policy = Policy::pinned([PcrProfile::of(attester.pcrs())?])?;
    let appraiser = Appraiser::new(policy).dangerous_with_anchor(attester.trust_anchor());
    let calls = Arc::new(AtomicUsize::new(0));
    let mut config = Config {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        upstream: "http://127.0.0.1:1".to_owned(),
        ..Config::default()
    };
    // Room for as many connections.
    config.limits.memory_budget = 16 << 30;
    let running = start(config, Box::new(Serial(attester, calls.clone()))).await?;
    let proxy = running.local_addr().ok_or("no address")?;

    let (sent_ms, begun, before) = (now_ms(), Instant::now(), calls.load(Relaxed));
    let mut clients = JoinSet::new();
    let mut rng = StdRng::try_from_rng(&mut SysRng)?;
    for _ in 0..CLIENTS {
        clients.spawn(challenge(proxy, Challenge::random(&mut rng)));
    }
    let answers = clients.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (elapsed, spent) = (begun.elapsed(), calls.load(Relaxed) - before);

    let mut times: Vec<Duration> = answers.iter().map(|(.., time)| *time).collect();
    times.sort();
    for (challenge, evidence, _) in &answers {
        appraiser.appraise(evidence, challenge, sent_ms, "bench", now_ms())?;
    }
    let percentile = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{CLIENTS} clients attested freshly in {elapsed:.1?} with {spent} calls of the attester"
    );
    println!("one call each, one after the other: {:.1?}", CALL * CLIENTS as u32);
    println!(
        "latency: p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, most {:.1?}",
        percentile(50),
        percentile(90),
        percentile(99),
        percentile(100)
    );
    running.shutdown().await;
    Ok(())
}
