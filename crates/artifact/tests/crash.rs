//! A writer killed at any moment leaves a whole file or none, and the next start cleans up behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use artifact::{
    store::{Options, Store, StoreError},
    unpack::{Entry, Limits, unpack},
};

const PATH: &str = "gitrepository/ns/app/abc.tar.gz";
/// Files of an archive, so that writing one takes a while.
const FILES: usize = 40;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("write-until-killed") => write_until_killed(Path::new(&arguments[2])),
        _ => a_killed_writer_leaves_a_whole_file_or_none(),
    }
}

fn write_until_killed(root: &Path) {
    let store = Store::open(root, Options::new("localhost")).unwrap();
    for round in 0_u32.. {
        let written = store.archive(PATH, "1", |archive| {
            for n in 0..FILES {
                let content = format!("{round} ").repeat(2000);
                let path = format!("file-{n}");
                let size = content.len() as u64;
                archive
                    .file(path.as_bytes(), false, size, &mut content.as_bytes())
                    .map_err(StoreError::Archive)?;
            }
            Ok::<(), StoreError>(())
        });
        written.unwrap();
    }
}

fn a_killed_writer_leaves_a_whole_file_or_none() {
    let (mut whole, mut swept, mut round) = (0, 0, 0_u64);
    let root = tempfile::tempdir().unwrap();
    // On a busy machine it may take some rounds until a writer was killed at work.
    while round < 25 || (round < 500 && (whole == 0 || swept == 0)) {
        round += 1;
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .arg("write-until-killed")
            .arg(root.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(10 + round * 7 % 90));
        writer.kill().unwrap();
        writer.wait().unwrap();

        let left = temporary_files(root.path());
        let store = Store::open(root.path(), Options::new("localhost")).unwrap();
        assert_eq!(temporary_files(root.path()), 0);
        swept += left;
        match store.open_file(PATH) {
            Ok(file) => {
                let mut contents = Vec::new();
                unpack(file, &Limits::default(), &mut |entry| {
                    if let Entry::File { content, .. } = entry {
                        let mut text = String::new();
                        content.read_to_string(&mut text)?;
                        contents.push(text);
                    }
                    Ok(())
                })
                .expect("a whole archive");
                assert_eq!(contents.len(), FILES);
                assert!(contents.iter().all(|text| *text == contents[0]));
                whole += 1;
            }
            Err(StoreError::Missing(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(whole > 0 && swept > 0, "{whole} whole files and {swept} temporary ones seen");
    println!("a killed writer leaves a whole file or none: ok");
}

fn temporary_files(root: &Path) -> usize {
    let Ok(entries) = root.join(PATH).parent().unwrap().read_dir() else { return 0 };
    entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "tmp")).count()
}
