//! Documents that real enclaves got from the NSM, 2022 to 2025 (see `data/nitro/index.json`).

use serde_json::Value;
use std::fs;
use std::path::Path;
use steve_protocol::evidence::{
    AppraisalError, AttestationDocument, CertificateError, CertificateProblem, Check,
    DebugModeError, PCR_LEN, Pcr, PcrProfile, PcrTrust, Policy, TrustAnchor, UnverifiedDocument,
};

const AWS: TrustAnchor = TrustAnchor::AWS_NITRO_ROOT_G1;

struct Sample {
    name: String,
    bytes: Vec<u8>,
    entry: Value,
}

impl Sample {
    fn is(&self, property: &str) -> bool {
        self.entry[property].as_bool().unwrap()
    }

    fn genuine(&self) -> bool {
        self.is("aws_root") && self.is("chain_ok") && self.is("cose_sig_ok")
    }

    fn timestamp_ms(&self) -> u64 {
        UnverifiedDocument::decode(&self.bytes).unwrap().timestamp_ms()
    }

    fn verify(&self, now_ms: u64) -> Result<AttestationDocument, AppraisalError> {
        AttestationDocument::verify(&self.bytes, &AWS, now_ms)
    }
}

fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nitro");
    let index = fs::read_to_string(folder.join("index.json")).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&index).unwrap();
    assert!(entries.len() >= 8);
    entries
        .into_iter()
        .map(|entry| {
            let name = entry["file"].as_str().unwrap().to_owned();
            Sample { bytes: fs::read(folder.join(&name)).unwrap(), name, entry }
        })
        .collect()
}

fn genuine() -> impl Iterator<Item = Sample> {
    samples().into_iter().filter(Sample::genuine)
}

#[test]
fn row_14_every_genuine_document_verifies_at_its_time() {
    for sample in genuine() {
        let document = sample.verify(sample.timestamp_ms()).expect(&sample.name);
        let entry = &sample.entry;
        assert_eq!(document.pcrs().len() as u64, entry["pcr_count"].as_u64().unwrap());
        let nonzero: Vec<u64> = document
            .pcrs()
            .iter()
            .filter(|(_, value)| !value.is_zero())
            .map(|(index, _)| u64::from(index))
            .collect();
        assert_eq!(Value::from(nonzero), entry["pcrs_nonzero"], "{}", sample.name);
        for (field, length) in [
            (document.public_key(), "public_key_len"),
            (document.user_data(), "user_data_len"),
            (document.nonce(), "nonce_len"),
        ] {
            assert_eq!(field.map(|bytes| bytes.len() as u64), entry[length].as_u64());
        }
        assert!(document.module_id().starts_with("i-"));
        document.check_timestamp(document.timestamp_ms() + 300_000, 300_000, 0).unwrap();
        assert_eq!(document.check_debug_mode().is_err(), sample.is("debug_pcr0_zero"));
    }
}

#[test]
fn row_13_a_document_ends_with_its_leaf_and_begins_with_its_timestamp() {
    for sample in genuine() {
        let document = sample.verify(0).expect("judged at its own time when the clock is behind");
        let last_ms = document.not_after_ms();
        let hours = (last_ms - document.timestamp_ms()).div_ceil(3_600_000);
        assert!((1..=3).contains(&hours), "{hours}");
        sample.verify(last_ms).expect("the last millisecond is inclusive");
        for late in [last_ms + 1, last_ms + 1000, u64::MAX] {
            let Err(AppraisalError::Certificates(error)) = sample.verify(late) else {
                panic!("{} verifies at {late}", sample.name);
            };
            assert_eq!(error.problem, CertificateProblem::Expired);
        }
        assert_eq!(
            sample.verify(last_ms + 1000),
            Err(AppraisalError::Certificates(CertificateError {
                position: Some(4),
                problem: CertificateProblem::Expired
            }))
        );
    }
}

#[test]
fn row_13_no_byte_of_a_document_can_be_changed() {
    std::thread::scope(|scope| {
        for mut sample in genuine() {
            scope.spawn(move || {
                let now_ms = sample.timestamp_ms();
                for position in 0..sample.bytes.len() {
                    let bit = 1 << (position % 8);
                    sample.bytes[position] ^= bit;
                    assert!(sample.verify(now_ms).is_err(), "{} byte {position}", sample.name);
                    sample.bytes[position] ^= bit;
                }
                sample.verify(now_ms).unwrap();
            });
        }
    });
}

#[test]
fn row_13_no_document_can_be_cut_or_extended() {
    for mut sample in genuine() {
        for len in 0..sample.bytes.len() {
            let error = UnverifiedDocument::decode(&sample.bytes[..len]).err().unwrap();
            assert_eq!(error.check(), Check::Cose, "{len}");
        }
        sample.bytes.push(0);
        assert_eq!(sample.verify(0).err().unwrap().check(), Check::Cose);
    }
}

#[test]
fn row_13_a_bad_signature_is_the_only_fault_of_the_one_that_has_it() {
    let mut seen = 0;
    for sample in samples().into_iter().filter(|s| s.is("chain_ok") && !s.is("cose_sig_ok")) {
        assert_eq!(sample.verify(sample.timestamp_ms()), Err(AppraisalError::Signature));
        seen += 1;
    }
    assert_eq!(seen, 1);
}

#[test]
fn row_13_a_document_of_another_root_is_refused_for_its_root() {
    let mut seen = 0;
    for sample in samples().into_iter().filter(|sample| !sample.is("aws_root")) {
        let found = UnverifiedDocument::decode(&sample.bytes).unwrap().root_sha256();
        let expected = *AWS.sha256();
        assert_ne!(found, expected);
        let error = sample.verify(sample.timestamp_ms());
        assert_eq!(error, Err(AppraisalError::Root { expected, found }));
        seen += 1;
    }
    assert_eq!(seen, 1);
}

#[cfg(feature = "dangerous-trust-anchor")]
#[test]
fn row_13_a_leaf_for_tls_is_no_leaf_of_an_enclave() {
    // Under its own root this one still fails: its leaf has no basicConstraints.
    let sample = samples().into_iter().find(|sample| !sample.is("aws_root")).unwrap();
    let root = UnverifiedDocument::decode(&sample.bytes).unwrap().root_sha256();
    let anchor = TrustAnchor::dangerous_from_sha256(root);
    let error = AttestationDocument::verify(&sample.bytes, &anchor, sample.timestamp_ms());
    let problem = CertificateProblem::BasicConstraints;
    let expected = CertificateError { position: Some(1), problem };
    assert_eq!(error, Err(AppraisalError::Certificates(expected)));
}

#[test]
fn row_12_documents_of_debug_enclaves_are_genuine_and_refused() {
    let mut seen = 0;
    for sample in genuine().filter(|sample| sample.is("debug_pcr0_zero")) {
        let document = sample.verify(sample.timestamp_ms()).unwrap();
        assert_eq!(document.check_debug_mode(), Err(DebugModeError::Zero(0)));
        assert!(PcrProfile::of(document.pcrs()).is_err(), "cannot even be expected");
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn rows_10_and_11_a_document_satisfies_its_own_profile_and_no_other() {
    for sample in genuine().filter(|sample| !sample.is("debug_pcr0_zero")) {
        let document = sample.verify(sample.timestamp_ms()).unwrap();
        let pcrs = document.pcrs();
        let own = PcrProfile::of(pcrs).unwrap();
        let policy = Policy::pinned([own.clone()]).unwrap();
        let trust = policy.compare(pcrs, "", 0).unwrap();
        assert_eq!(
            trust,
            Some(PcrTrust::Pinned { profile: 0, registers: vec![0, 1, 2], policy: None })
        );
        for register in 0..=2 {
            let other = own.values().map(|(index, value)| {
                (index, if index == register { Pcr::from([7; PCR_LEN]) } else { *value })
            });
            let policy = Policy::pinned([PcrProfile::new(other).unwrap()]).unwrap();
            let Err(AppraisalError::Policy(mismatch)) = policy.compare(pcrs, "", 0) else {
                panic!("PCR{register} does not matter");
            };
            let [difference] = mismatch.profiles[0][..] else { panic!("{mismatch}") };
            assert_eq!(difference.index, register);
            assert_eq!(difference.found, pcrs.get(register).copied());
        }
        let more = own.values().map(|(index, value)| (index, *value));
        let more = PcrProfile::new(more.chain([(31, Pcr::from([7; PCR_LEN]))])).unwrap();
        let policy = Policy::pinned([more]).unwrap();
        assert!(policy.compare(pcrs, "", 0).is_err(), "a register that is absent does not match");
    }
}
