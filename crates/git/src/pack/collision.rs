//! Bytes of a known collision attack on SHA-1, for the tests of all that is hashed here.
//!
//! They are the first 320 of the two files of <https://shattered.io>: a common prefix and the two blocks that collide. The attack
//! shows in these bytes only from the first on; we know of none that begins as a Git object or a pack does, so no test hands one to a
//! fetch. The tests hand the bytes to our code that hashes; ids of objects come from the same hasher of gix, behind a header.

const SHATTERED: &str = "\
255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f4865696768742033203020522f547970652034203020522f\
537562747970652035203020522f46696c7465722036203020522f436f6c6f7253706163652037203020522f4c656e6774682038203020522f42697473506572\
436f6d706f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d3120697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe01\
7346dc9166b67e118f029ab621b2560ff9ca67cca8c7f85ba84c79030c2b3de218f86db3a90901d5df45c14f26fedfb3dc38e96ac22fe7bd728f0e45bce046d2\
3c570feb141398bb552ef5a0a82be331fea48037b8b5d71f0e332edf93ac3500eb4ddc0decc1a864790c782c76215660dd309791d06bd0af3f98cda4bc4629b1\
";

/// Both files have the SHA-1 value `f92d74e3874587aaf443d1db961d4e26dde13e9c` here.
pub(super) fn shattered() -> Vec<u8> {
    let digits: Vec<u32> = SHATTERED.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
