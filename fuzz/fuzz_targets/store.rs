#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvault_native_fuzz::store::check(data));
