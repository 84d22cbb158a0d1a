//! Policies that the app's owner has signed: `--policy`, and `steve policy check`.

use crate::args::{CheckArgs, OwnerArgs};
use crate::connect::read;
use crate::exit::Failure;
use crate::output::{Output, printable};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use steve_sdk::{FilePolicyStore, PolicyLoader, PolicyOwner, SignedPolicy};

/// The policy in a file, with its version put on record.
pub(crate) fn load(file: &Path, owner: &OwnerArgs) -> Result<SignedPolicy, Failure> {
    let (content, signature) = read_both(file)?;
    loader(owner)?.load(&content, &signature).map_err(Failure::Policy)
}

/// `steve policy check`: what a file allows is the output.
pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let (content, signature) = read_both(&args.file)?;
    let policy = loader(&args.owner)?.check(&content, &signature).map_err(Failure::Policy)?;
    let mut output = Output::open(None)?;
    output.write(printable(&describe(&policy)).as_bytes())?;
    output.finish()
}

fn loader(args: &OwnerArgs) -> Result<PolicyLoader, Failure> {
    let namespace = args.namespace.as_deref().unwrap_or_default();
    let owner = PolicyOwner::new(args.signer.as_slice(), namespace)
        .map_err(Failure::usage)?
        .minimum_version(args.minimum_version.unwrap_or_default());
    let loader = PolicyLoader::new(owner);
    Ok(match &args.policy_store {
        Some(store) => loader.store(FilePolicyStore::new(store)),
        None => loader,
    })
}

fn read_both(file: &Path) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let mut signature = file.as_os_str().to_owned();
    signature.push(".minisig");
    Ok((read(file)?, read(&PathBuf::from(signature))?))
}

fn describe(policy: &SignedPolicy) -> String {
    let mut text = format!("{policy}\n");
    // Writing to a string does not fail.
    let _ = writeln!(text, "namespace        {}", policy.namespace());
    let _ = writeln!(text, "trusted comment  {}", policy.trusted_comment().escape_debug());
    for (index, labelled) in policy.profiles().iter().enumerate() {
        let label = labelled.label.as_deref().unwrap_or("(no label)");
        let _ = writeln!(text, "\nprofile {index}: {label}");
        for (register, pcr) in labelled.profile.values() {
            let _ = writeln!(text, "{:<6} {pcr}", format!("PCR{register}"));
        }
    }
    if !policy.earlier_on_record() {
        text +=
            "\nNo earlier version is on record: this can be an old policy that has not expired.\n";
    }
    text
}
