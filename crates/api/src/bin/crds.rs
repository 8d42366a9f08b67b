//! Writes the CRD manifests into each folder given as argument.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for folder in std::env::args_os().skip(1).map(PathBuf::from) {
        std::fs::create_dir_all(&folder)?;
        for crd in api::crd::all()? {
            let path = folder.join(api::crd::file_name(&crd));
            std::fs::write(&path, api::crd::to_yaml(&crd)?)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}
