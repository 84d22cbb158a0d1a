//! `steve-bindgen MODULE DIRECTORY`: writes the JavaScript side of a WebAssembly module.

use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, directory] = arguments.as_slice() else {
        eprintln!("usage: steve-bindgen MODULE DIRECTORY");
        return ExitCode::from(2);
    };
    let generated = Bindgen::new()
        .input_path(module)
        .omit_default_module_path(false)
        .web(true)
        .and_then(|bindgen| bindgen.typescript(true).generate(directory));
    match generated {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
