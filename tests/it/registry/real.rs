//! The same against Debian's `docker-registry`.

use super::*;
use crate::support::debian::DebianRegistry;

#[test]
fn a_real_registry_takes_and_gives_it_all() {
    let debian = DebianRegistry::start();
    let client = client();
    let to = Registry::open(&client, &format!("{}/models/iris", debian.host()).parse().unwrap());
    assert!(to.names().unwrap().is_empty());
    assert_eq!(to.resolve("v1").unwrap(), None);
    let (document, contents) = publish(&to, 21).unwrap();
    let name = tag(&document);
    assert_eq!(to.claim(&name, &document).unwrap(), Claim::Created);
    assert_eq!(to.claim(&name, &document).unwrap(), Claim::Same);
    read_back(&debian.host(), "models/iris", &name, &document, &contents);

    // Again: nothing is written.
    let known = Bytes::new(media_type::LAYER, contents[1].clone());
    assert_eq!(to.put(&known, &Quiet).unwrap(), Outcome::Present);
    assert_eq!(read(&to, known.descriptor()).unwrap(), contents[1]);
    assert_eq!(to.document(&to.resolve(&name).unwrap().unwrap()).unwrap(), document);

    // From one repository to another: a mount.
    let other = Registry::open(&client, &format!("{}/models/other", debian.host()).parse().unwrap());
    let source = to.blob(known.descriptor()).unwrap();
    assert_eq!(other.put(&*source, &Quiet).unwrap(), Outcome::Mounted);
    assert_eq!(other.put(&*source, &Quiet).unwrap(), Outcome::Present);
    assert_eq!(other.put(&Bytes::new("x", Vec::new()), &Quiet).unwrap(), Outcome::Written);

    let (second, _) = publish(&to, 22).unwrap();
    assert_eq!(to.claim(&name, &second).unwrap(), Claim::Taken(document.descriptor.digest));
    to.point("latest", &document).unwrap();
    to.point("latest", &second).unwrap();
    assert_eq!(to.resolve("latest").unwrap(), Some(second.descriptor.clone()));
    let mut names = to.names().unwrap();
    names.sort();
    assert_eq!(names, ["latest".to_owned(), name.clone()]);

    // 2.8 cannot remove a tag; what matters is that nothing else is removed instead.
    to.remove("never-there").unwrap();
    let e = to.remove("latest").unwrap_err();
    assert_eq!(e.kind(), Kind::Denied, "{e}");
    assert!(to.resolve("latest").unwrap().is_some());

    // A manifest whose blobs are not there is refused, and not tried for ever.
    let lacking = Document::new(
        media_type::MANIFEST,
        serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": Descriptor::of(media_type::CONFIG, b"nowhere").to_value(), "layers": [],
        }))
        .unwrap(),
    );
    let e = to.put_document(&lacking).unwrap_err();
    // Another publisher may be just storing it: worth a retry, and retried before this is said.
    assert!(e.kind() == Kind::Network && e.to_string().contains("MANIFEST_BLOB_UNKNOWN"), "{e}");
}
