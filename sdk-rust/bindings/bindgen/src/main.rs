//! `uniffi-bindgen`, in the version of the workspace.

fn main() {
    uniffi::uniffi_bindgen_main();
}
