//! Lists the catalogue entries that come with the program, so that a new one is a new file and nothing else.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let folder = Path::new(&root).join("catalogue");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<String> = fs::read_dir(&folder)
        .expect("the package has a folder catalogue")
        .map(|file| file.expect("the folder can be read").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    files.sort();

    let mut list = String::from(
        "/// The entries that come with the program: file name and text, by name.\n\
         pub const BUILTIN: &[(&str, &str)] = &[\n",
    );
    for file in files {
        let path = folder.join(&file);
        writeln!(list, "    ({file:?}, include_str!({path:?})),").expect("a text takes more text");
    }
    list.push_str("];\n");
    let out = env::var("OUT_DIR").expect("cargo says where to write");
    fs::write(Path::new(&out).join("builtin.rs"), list).expect("the output folder can be written");
}
