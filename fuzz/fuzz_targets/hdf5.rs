//! An HDF5 file: every group, attribute and dataset within reach.
#![no_main]

use floe::model::hdf5::{File, Object};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(file) = File::open(&data, 64 << 20) else { return };
    let Ok(root) = file.root() else { return };
    look(&file, &root);
    for link in file.links(&root).unwrap_or_default().iter().take(100) {
        if let Ok(Some(child)) = file.child(&root, &link.name) {
            look(&file, &child);
        }
    }
});

fn look(file: &File<'_>, object: &Object) {
    for attribute in file.attributes(object).unwrap_or_default() {
        let _value = file.value(&attribute);
    }
    let _dataset = file.dataset(object);
}
