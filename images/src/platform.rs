//! The machines that images are for.

use std::fmt;

/// A machine with Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    /// As images name it: `amd64` or `arm64`.
    pub architecture: &'static str,
    /// As Rust names it.
    pub triple: &'static str,
    /// The C compiler that makes code for it on another machine, as Debian names it. It links, too.
    pub compiler: &'static str,
    /// The packages of Debian that have the compiler and the C library.
    pub packages: &'static str,
}

const PLATFORMS: [Platform; 2] = [
    Platform {
        architecture: "amd64",
        triple: "x86_64-unknown-linux-gnu",
        compiler: "x86_64-linux-gnu-gcc",
        packages: "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
    },
    Platform {
        architecture: "arm64",
        triple: "aarch64-unknown-linux-gnu",
        compiler: "aarch64-linux-gnu-gcc",
        packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    },
];

/// There are no images for such a machine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture {0:?}: amd64 and arm64 are known")]
pub struct UnknownArchitecture(String);

impl Platform {
    /// The one with this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(architecture: &str) -> Result<Self, UnknownArchitecture> {
        let mut platforms = PLATFORMS.into_iter();
        let found = platforms.find(|platform| platform.architecture == architecture);
        found.ok_or_else(|| UnknownArchitecture(architecture.to_owned()))
    }

    /// This machine.
    ///
    /// # Errors
    /// If it is of another sort.
    pub fn native() -> Result<Self, UnknownArchitecture> {
        let architecture = std::env::consts::ARCH;
        let mut platforms = PLATFORMS.into_iter();
        let found = platforms.find(|platform| platform.triple.starts_with(architecture));
        found.ok_or_else(|| UnknownArchitecture(architecture.to_owned()))
    }

    /// The variables by which Cargo and C libraries in crates find the compiler on another machine.
    pub fn cross_variables(&self) -> [(String, &'static str); 2] {
        let name = self.triple.replace('-', "_");
        [
            (format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), self.compiler),
            (format!("CC_{name}"), self.compiler),
        ]
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_the_names_of_images() {
        assert_eq!(Platform::named("arm64").map(|platform| platform.triple), Ok("aarch64-unknown-linux-gnu"));
        assert_eq!(
            Platform::named("arm64").map(|platform| platform.to_string()),
            Ok("linux/arm64".to_owned())
        );
        assert!(Platform::native().is_ok());
        let error = Platform::named("riscv64").map_err(|error| error.to_string());
        assert_eq!(error, Err("unknown architecture \"riscv64\": amd64 and arm64 are known".to_owned()));
    }

    #[test]
    fn another_machine_has_its_compiler_in_the_variables_of_cargo_and_of_c_libraries() {
        let variables = Platform::named("arm64").map(|platform| platform.cross_variables());
        let compiler = "aarch64-linux-gnu-gcc";
        let expected = ["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "CC_aarch64_unknown_linux_gnu"];
        assert_eq!(variables, Ok(expected.map(|name| (name.to_owned(), compiler))));
    }
}
