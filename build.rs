//! Tells the linker what a Node.js addon needs.

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
