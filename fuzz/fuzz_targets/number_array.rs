#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vvault_native_fuzz::number_array::check(data));
