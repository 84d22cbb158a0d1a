//! Attestation documents with every form that the rules allow, and everything that breaks one. The
//! verdict on signatures is "valid", so that what is behind them is reached; the model: evidence is
//! accepted if and only if no rule of SPEC.md, Section 7, is broken.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use steve_fuzz::cbor::{certificates, close, encode, open};
use steve_fuzz::seldom::Seldom;
use steve_fuzz::world;
use steve_fuzz::world::{CONFIGURATION, MANIFEST, NOW_MS, appraiser, challenge, evidence, keys};
use steve_protocol::evidence::dev::pcrs;
use steve_protocol::evidence::{Evidence, MerkleTree, user_data};
use steve_protocol::handshake::EnclaveKeys;

#[derive(Arbitrary, Debug)]
struct Input {
    tag: Seldom<u64>,
    /// Behind document and payload.
    trailing: Seldom<[bool; 2]>,
    protected: Seldom<Vec<u8>>,
    unprotected: Seldom<()>,
    signature_len: Seldom<u8>,
    /// Of payload, PCRs and certificates.
    indefinite: [bool; 3],
    order: u64,
    twice: Seldom<u8>,
    missing: Seldom<u8>,
    unknown: Seldom<Unknown>,
    module_id_len: Seldom<u16>,
    digest: Seldom<String>,
    timestamp: Seldom<Timestamp>,
    wide: u8,
    pcr: Seldom<(u8, PcrChange)>,
    certificates: Seldom<CertificateChange>,
    fields: Seldom<[Field; 3]>,
    evidence: Seldom<EvidenceChange>,
}

#[derive(Arbitrary, Debug)]
struct Unknown {
    depth: u8,
    open: u8,
    at_front: bool,
}

#[derive(Arbitrary, Debug)]
enum Timestamp {
    Zero,
    Ago(u32),
    Ahead(u32),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum PcrChange {
    Missing,
    Zero,
    Other,
    Length(u8),
    Index(u8),
}

#[derive(Arbitrary, Debug)]
enum CertificateChange {
    Drop(u8),
    Swap(u8, u8),
    Twice(u8),
    /// Whether it is still good is beyond the model.
    Byte(u8, u16, u8),
    Long(u8),
    NoBundle,
}

#[derive(Arbitrary, Debug, PartialEq)]
enum Field {
    Right,
    Absent,
    Null,
    Length(u16),
}

#[derive(Arbitrary, Debug)]
enum EvidenceChange {
    LeafIndex(u32),
    TreeSize(u32),
    Path(Vec<u8>),
    Configuration(Vec<u8>),
    Manifest(Vec<u8>),
    KeyConfig(u8),
}

/// Of a genuine document, leaf last.
struct Genuine {
    keys: EnclaveKeys,
    certificates: Vec<Vec<u8>>,
    root: [u8; 32],
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let keys = keys(1, 0);
    let whole = evidence(&keys);
    let document = Evidence::decode(&whole).expect("genuine").document;
    let root = MerkleTree::new(&[challenge(1)]).expect("one leaf").root();
    Genuine { certificates: certificates(document).expect("genuine"), keys, root }
});

/// Builds, and says whether what it builds is acceptable. None: beyond the model.
struct Builder<'a> {
    input: &'a Input,
    good: Option<bool>,
}

impl Builder<'_> {
    fn rule(&mut self, holds: bool) {
        self.good = self.good.map(|good| good && holds);
    }

    /// An unsigned integer, perhaps in more bytes than it needs.
    fn number(&self, out: &mut Vec<u8>, number: u64) {
        match (self.input.wide % 3, u32::try_from(number)) {
            (1, _) => out.extend([&[0x1b][..], &number.to_be_bytes()].concat()),
            (2, Ok(number)) => out.extend([&[0x1a][..], &number.to_be_bytes()].concat()),
            _ => out.extend(encode(|encoder| encoder.u64(number).map(drop))),
        }
    }

    fn pcrs(&mut self) -> Vec<u8> {
        let mut entries: Vec<(u8, Vec<u8>)> =
            pcrs().iter().map(|(index, value)| (index, value.as_bytes().to_vec())).collect();
        if let Some((at, change)) = self.input.pcr.0 {
            let at = usize::from(at) % entries.len();
            let measured = at < 3;
            match change {
                PcrChange::Missing => drop(entries.remove(at)),
                PcrChange::Zero => entries[at].1.fill(0),
                PcrChange::Other => entries[at].1.fill(9),
                PcrChange::Length(length) => entries[at].1.resize(length.into(), 1),
                PcrChange::Index(index) => entries[at].0 = index,
            }
            self.rule(match change {
                PcrChange::Missing | PcrChange::Zero | PcrChange::Other => !measured,
                PcrChange::Length(length) => length == 48 && !measured,
                PcrChange::Index(index) => {
                    usize::from(index) == at || (!measured && (16..32).contains(&index))
                }
            });
            // A value of 48 bytes is left as it is.
            if matches!(change, PcrChange::Length(48)) {
                self.good = None;
            }
        }
        let mut out = open(5, entries.len(), self.input.indefinite[1]);
        for (index, value) in entries {
            self.number(&mut out, index.into());
            out.extend(encode(|encoder| encoder.bytes(&value).map(drop)));
        }
        close(&mut out, self.input.indefinite[1]);
        out
    }

    /// Leaf, and bundle.
    fn certificates(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut all = GENUINE.certificates.clone();
        let count = all.len();
        match &self.input.certificates.0 {
            None => {}
            Some(CertificateChange::Drop(at)) => {
                all.remove(usize::from(*at) % count);
                self.rule(false);
            }
            Some(CertificateChange::Swap(a, b)) => {
                let (a, b) = (usize::from(*a) % count, usize::from(*b) % count);
                all.swap(a, b);
                self.rule(a == b);
            }
            Some(CertificateChange::Twice(at)) => {
                let at = usize::from(*at) % count;
                all.insert(at, all[at].clone());
                // A root that is there twice follows itself: its signature is its own.
                self.good = if at == 0 { None } else { Some(false) };
            }
            Some(CertificateChange::Byte(at, byte, xor)) => {
                let der = &mut all[usize::from(*at) % count];
                let byte = usize::from(*byte) % der.len();
                der[byte] ^= xor;
                self.good = None;
            }
            Some(CertificateChange::Long(at)) => {
                all[usize::from(*at) % count].resize(1025, 0);
                self.rule(false);
            }
            Some(CertificateChange::NoBundle) => {
                all.drain(..count - 1);
                self.rule(false);
            }
        }
        let leaf = all.pop().unwrap_or_default();
        let mut bundle = open(4, all.len(), self.input.indefinite[2]);
        for der in all {
            bundle.extend(encode(|encoder| encoder.bytes(&der).map(drop)));
        }
        close(&mut bundle, self.input.indefinite[2]);
        (encode(|encoder| encoder.bytes(&leaf).map(drop)), bundle)
    }

    /// One of `public_key`, `user_data` and `nonce`.
    fn field(&mut self, at: usize, right: Option<&[u8]>, max: u16) -> Option<Vec<u8>> {
        let field = self.input.fields.0.as_ref().map_or(&Field::Right, |fields| &fields[at]);
        let (value, length) = match field {
            Field::Right => (right.map(<[u8]>::to_vec), 0),
            Field::Absent => (None, 0),
            Field::Null => (None, 0),
            Field::Length(length) => {
                let length = length % 1100;
                (Some(vec![7; length.into()]), length)
            }
        };
        self.rule(length <= max && (right.is_none() || *field == Field::Right));
        if *field == Field::Absent {
            return None;
        }
        Some(encode(|encoder| match &value {
            Some(bytes) => encoder.bytes(bytes).map(drop),
            None => encoder.null().map(drop),
        }))
    }

    fn timestamp(&mut self) -> Vec<u8> {
        let timestamp = match self.input.timestamp.0 {
            None => NOW_MS,
            Some(Timestamp::Zero) => 0,
            Some(Timestamp::Ago(ms)) => NOW_MS - u64::from(ms),
            Some(Timestamp::Ahead(ms)) => NOW_MS + u64::from(ms),
        };
        self.rule(timestamp.abs_diff(NOW_MS) <= 300_000);
        let mut out = Vec::new();
        self.number(&mut out, timestamp);
        out
    }

    fn payload(&mut self) -> Vec<u8> {
        let input = self.input;
        let length = input.module_id_len.0.map_or(20, |length| length % 300);
        self.rule((1..=256).contains(&length));
        let module_id = "i".repeat(length.into());
        let digest = input.digest.0.as_deref().unwrap_or("SHA384");
        self.rule(digest == "SHA384");
        let text = |text: &str| encode(|encoder| encoder.str(text).map(drop));
        let (leaf, bundle) = self.certificates();
        let mut entries = vec![
            ("module_id", text(&module_id)),
            ("digest", text(digest)),
            ("timestamp", self.timestamp()),
            ("pcrs", self.pcrs()),
            ("certificate", leaf),
            ("cabundle", bundle),
        ];
        let user_data = user_data(GENUINE.keys.config());
        for (at, name, right, max) in [
            (0, "public_key", None, 1024),
            (1, "user_data", Some(&user_data[..]), 512),
            (2, "nonce", Some(&GENUINE.root[..]), 512),
        ] {
            entries.extend(self.field(at, right, max).map(|value| (name, value)));
        }
        let count = entries.len();
        entries.rotate_left(input.order as usize % count);
        entries.swap(0, (input.order >> 32) as usize % count);
        if let Some(at) = input.missing.0 {
            let (name, _) = entries.remove(usize::from(at) % count);
            self.rule(name == "public_key");
        }
        if let Some(at) = input.twice.0 {
            let entry = entries[usize::from(at) % entries.len()].clone();
            entries.push(entry);
            self.rule(false);
        }
        if let Some(Unknown { depth, open, at_front }) = &input.unknown.0 {
            let depth = usize::from(depth % 12);
            let (opened, closed) = [(&[0x81][..], None), (&[0x9f], Some(0xff)), (&[0xc1], None)]
                [usize::from(open % 3)];
            let mut nested = opened.repeat(depth);
            nested.push(0);
            nested.extend(closed.into_iter().cycle().take(depth));
            entries.insert(if *at_front { 0 } else { entries.len() }, ("unknown", nested));
            // The map itself is one of 8.
            self.rule(depth < 8);
        }
        let mut out = open(5, entries.len(), input.indefinite[0]);
        for (name, value) in entries {
            out.extend(text(name));
            out.extend(value);
        }
        close(&mut out, input.indefinite[0]);
        if input.trailing.0.is_some_and(|[_, payload]| payload) {
            out.push(0);
            self.rule(false);
        }
        out
    }

    fn document(&mut self) -> Vec<u8> {
        let input = self.input;
        let payload = self.payload();
        let genuine = [0xa1, 0x01, 0x38, 0x22];
        let protected = input.protected.0.as_deref().unwrap_or(&genuine);
        let signature = vec![1; input.signature_len.0.map_or(96, usize::from)];
        self.rule(protected == genuine && signature.len() == 96);
        self.rule(
            !input.unprotected.is_some() && !input.trailing.0.is_some_and(|[document, _]| document),
        );
        let mut out = Vec::new();
        if let Some(tag) = input.tag.0 {
            let tag = if tag % 2 == 0 { 18 } else { tag };
            self.rule(tag == 18);
            out = encode(|encoder| encoder.tag(minicbor::data::Tag::new(tag)).map(drop));
        }
        out.extend(encode(|encoder| {
            encoder.array(4)?.bytes(protected)?;
            match input.unprotected.is_some() {
                true => encoder.map(1)?.u8(4)?.u8(5)?,
                false => encoder.map(0)?,
            };
            encoder.bytes(&payload)?.bytes(&signature).map(drop)
        }));
        if input.trailing.0.is_some_and(|[document, _]| document) {
            out.push(0);
        }
        out
    }

    fn evidence(&mut self) -> Option<Vec<u8>> {
        let document = self.document();
        let mut config = GENUINE.keys.config().encoded().to_vec();
        let mut evidence = Evidence {
            key_config: &[],
            document: &document,
            leaf_index: 0,
            tree_size: 1,
            path: &[],
            configuration: CONFIGURATION,
            manifest: MANIFEST,
        };
        match &self.input.evidence.0 {
            None => {}
            Some(EvidenceChange::LeafIndex(index)) => evidence.leaf_index = *index,
            Some(EvidenceChange::TreeSize(size)) => evidence.tree_size = *size,
            Some(EvidenceChange::Path(path)) => evidence.path = path,
            Some(EvidenceChange::Configuration(bytes)) => evidence.configuration = bytes,
            Some(EvidenceChange::Manifest(bytes)) => evidence.manifest = bytes,
            Some(EvidenceChange::KeyConfig(byte)) => {
                let byte = usize::from(*byte) % config.len();
                config[byte] ^= 1;
                self.rule(false);
            }
        }
        evidence.key_config = &config;
        self.rule(evidence.leaf_index == 0 && evidence.tree_size == 1 && evidence.path.is_empty());
        self.rule(evidence.configuration == CONFIGURATION && evidence.manifest == MANIFEST);
        evidence.encode().ok()
    }
}

fuzz_target!(|input: Input| {
    let mut builder = Builder { input: &input, good: Some(true) };
    let Some(evidence) = builder.evidence() else { return };
    let (challenge, origin) = (challenge(1), "https://app.example".to_owned());
    let pending = appraiser().begin(evidence, challenge, NOW_MS, origin, NOW_MS);
    let valid = vec![true; pending.signatures().len()];
    let appraised = pending.finish(&valid);
    if let Some(good) = builder.good {
        assert_eq!(appraised.is_ok(), good, "{:?}", appraised.err());
    }
    if let Ok(enclave) = appraised {
        assert_eq!(enclave.key_config(), GENUINE.keys.config());
        assert!(enclave.valid_until_ms() > NOW_MS);
        assert_eq!(world::AUTHORITY.root_der(), GENUINE.certificates[0]);
    }
});
