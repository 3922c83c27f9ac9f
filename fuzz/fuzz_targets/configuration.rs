//! `signer.yaml`, by the very source that the command reads it with.
#![no_main]

#[path = "../../crates/stella/src"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the command uses more of it than this target"
)]
mod stella {
    pub(crate) mod config;
}

use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;

use stella::config::{self, Flags, Surroundings};

fuzz_target!(|bytes: &[u8]| {
    let flags = Flags {
        config: Some(PathBuf::from("signer.yaml")),
        ..Flags::default()
    };
    let read = |_: &Path| Ok(bytes.to_vec());
    let around = Surroundings {
        variable: &|_| None,
        read: &read,
    };
    if let Ok(loaded) = config::load(&flags, &around) {
        let _ = (config::show::text(&loaded), config::show::json(&loaded));
    }
});
