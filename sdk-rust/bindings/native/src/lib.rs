//! steve-sdk as a native library. A crate of its own, so that nobody else links one.

steve_sdk::uniffi_reexport_scaffolding!();
