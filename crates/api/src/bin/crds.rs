//! Writes the CRD manifests into the folder given as argument: all, or for a chart those that a second argument, a kustomization file, names.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().ok_or("no folder")?;
    let named = arguments.next().map(std::fs::read_to_string).transpose()?;
    std::fs::create_dir_all(&folder)?;
    for crd in api::crd::all()? {
        let name = api::crd::file_name(&crd);
        if named.as_ref().is_none_or(|list| list.contains(&name)) {
            let crd = if named.is_some() { api::crd::of_chart(crd) } else { crd };
            let path = folder.join(name);
            std::fs::write(&path, api::crd::to_yaml(&crd)?)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}
