use steve_protocol::suite::Suite;

/// The suites allowed unless the caller says otherwise, in order of preference: post-quantum ones
/// only; AES first where this CPU has instructions for it, because it is many times faster there.
pub fn default_suites() -> Vec<Suite> {
    let mut suites = Suite::DEFAULT_ALLOWED.to_vec();
    let preferred =
        if has_aes_instructions() { Suite::XWingAes256Gcm } else { Suite::XWingChaCha20Poly1305 };
    suites.sort_by_key(|suite| *suite != preferred);
    suites
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes_instructions() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes_instructions() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes_instructions() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::default_suites;
    use steve_protocol::suite::Suite;

    #[test]
    fn row_31_every_default_suite_is_post_quantum() {
        let mut suites = default_suites();
        suites.sort_unstable();
        assert_eq!(suites, [Suite::XWingChaCha20Poly1305, Suite::XWingAes256Gcm]);
    }
}
