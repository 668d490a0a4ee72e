//! Turns the facade of the model half from the machine to the model checker, for this package only.

fn main() {
    println!("cargo::rustc-cfg=slipring_model");
    println!("cargo::rerun-if-changed=build.rs");
}
