//! The `files` executors on real files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use bascule_plugin::{Left, Outcome, Role, Validation};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::attempt::{Attempt, refusal, validate};

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).expect("a file can be written");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file can be read")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder can be listed");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn path_of(value: &Value) -> PathBuf {
    PathBuf::from(value.as_str().expect("a path"))
}

async fn execute(name: &str, with: Value) -> Value {
    Attempt::of(name).execute(with).await.outputs()
}

async fn undo(name: &str, with: Value, outputs: Option<Value>) -> Value {
    Attempt::of(name).undo(with, outputs).await.outputs()
}

async fn failure(name: &str, with: Value) -> (String, Left) {
    Attempt::of(name).execute(with).await.failure()
}

#[tokio::test]
async fn a_copy_is_whole_verified_and_says_its_hash() {
    let at = folder();
    write(&at.path().join("a"), "abc");
    fs::set_permissions(at.path().join("a"), fs::Permissions::from_mode(0o640)).expect("permissions");
    let seen = Attempt::of("files.copy").execute(json!({"from": at.path().join("a"), "to": at.path().join("b")})).await;
    assert_eq!(seen.log.progress.last().map(|progress| (progress.done, progress.total)), Some((3, Some(3))));
    let outputs = seen.outputs();
    // What `printf abc | sha256sum` prints.
    assert_eq!(outputs["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!((&outputs["bytes"], &outputs["files"], &outputs["created"]), (&json!(3), &json!(1), &json!(true)));
    assert_eq!(read(&at.path().join("b")), "abc");
    let about = |name| fs::metadata(at.path().join(name)).expect("it is there");
    assert_eq!(about("b").mode() & 0o7777, 0o640);
    assert_eq!(about("b").modified().expect("a time"), about("a").modified().expect("a time"));
    assert_eq!(names(at.path()), ["a", "b"], "nothing else is left");
}

#[tokio::test]
async fn other_content_is_never_overwritten_unasked() {
    let at = folder();
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b")});
    write(&at.path().join("a"), "new");
    write(&at.path().join("b"), "old");
    let (failure, left) = failure("files.copy", with).await;
    assert!(failure.contains("is there already, with other content; ") && failure.contains("overwrite"), "{failure}");
    assert_eq!(left, Left::Nothing);
    assert_eq!(read(&at.path().join("b")), "old");
}

#[tokio::test]
async fn what_is_overwritten_is_kept_and_comes_back() {
    let at = folder();
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b"), "overwrite": true});
    write(&at.path().join("a"), "new");
    write(&at.path().join("b"), "old");
    let outputs = execute("files.copy", with.clone()).await;
    assert_eq!(read(&at.path().join("b")), "new");
    assert_eq!(read(&path_of(&outputs["kept"][0])), "old");
    assert_eq!(undo("files.copy", with, Some(outputs)).await["restored"], true);
    assert_eq!(read(&at.path().join("b")), "old");
    assert_eq!(names(at.path()), ["a", "b"]);
}

#[tokio::test]
async fn holes_stay_holes() {
    let at = folder();
    let file = fs::File::create(at.path().join("disk")).expect("a file");
    file.set_len(64 * 1024 * 1024).expect("a hole");
    drop(file);
    execute("files.copy", json!({"from": at.path().join("disk"), "to": at.path().join("copy")})).await;
    let copy = fs::metadata(at.path().join("copy")).expect("it is there");
    assert_eq!(copy.len(), 64 * 1024 * 1024);
    assert!(copy.blocks() * 512 < 1024 * 1024, "the copy takes {} blocks", copy.blocks());
}

#[tokio::test]
async fn a_folder_is_copied_with_links_as_links() {
    let at = folder();
    fs::create_dir_all(at.path().join("site/inner")).expect("folders");
    write(&at.path().join("site/inner/page"), "page");
    symlink("inner/page", at.path().join("site/link")).expect("a link");
    symlink("/nowhere", at.path().join("site/broken")).expect("a link");
    let outputs = execute("files.copy", json!({"from": at.path().join("site"), "to": at.path().join("copy")})).await;
    assert_eq!(outputs["files"], 1);
    assert_eq!(read(&at.path().join("copy/inner/page")), "page");
    assert_eq!(fs::read_link(at.path().join("copy/broken")).expect("a link"), Path::new("/nowhere"));
    let same = json!({"path": at.path().join("copy"), "equals": at.path().join("site"), "sha256": outputs["sha256"]});
    execute("files.verify", same).await;
}

#[tokio::test]
async fn a_copy_with_another_hash_than_expected_leaves_nothing() {
    let at = folder();
    write(&at.path().join("a"), "abc");
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b"), "sha256": "0".repeat(64)});
    let (failure, left) = failure("files.copy", with).await;
    assert!(failure.contains("expected was 0000"), "{failure}");
    assert_eq!(left, Left::Nothing);
    assert_eq!(names(at.path()), ["a"]);
}

#[tokio::test]
async fn undo_keeps_a_copy_whose_original_is_gone() {
    let at = folder();
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b")});
    write(&at.path().join("a"), "abc");
    let outputs = execute("files.copy", with.clone()).await;
    fs::remove_file(at.path().join("a")).expect("it can be removed");
    let outputs = undo("files.copy", with, Some(outputs)).await;
    assert!(!at.path().join("b").exists());
    assert_eq!(read(&path_of(&outputs["kept"][0])), "abc", "the only copy of the data is kept");
}

#[tokio::test]
async fn undo_keeps_a_copy_that_was_changed() {
    let at = folder();
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b")});
    write(&at.path().join("a"), "abc");
    let outputs = execute("files.copy", with.clone()).await;
    write(&at.path().join("b"), "written by users");
    let undone = undo("files.copy", with.clone(), Some(outputs.clone())).await;
    assert_eq!(read(&path_of(&undone["kept"][0])), "written by users");
    let again = undo("files.copy", with, Some(outputs)).await;
    assert_eq!(again["kept"], undone["kept"], "a repeated undo still says where it is");
}

#[tokio::test]
async fn undo_without_keep_refuses_to_delete_what_was_changed() {
    let at = folder();
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b"), "keep": false});
    write(&at.path().join("a"), "abc");
    let outputs = execute("files.copy", with.clone()).await;
    write(&at.path().join("b"), "written by users");
    let (failure, left) = Attempt::of("files.copy").undo(with, Some(outputs)).await.failure();
    assert!(failure.contains("was changed after it was copied"), "{failure}");
    assert_eq!(left, Left::Nothing);
    assert_eq!(read(&at.path().join("b")), "written by users");
}

#[tokio::test]
async fn undo_never_touches_what_another_hand_put_there() {
    let at = folder();
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b")});
    write(&at.path().join("a"), "abc");
    write(&at.path().join("b"), "abc");
    let outputs = execute("files.copy", with.clone()).await;
    assert_eq!(outputs["created"], false);
    for outputs in [Some(outputs), None] {
        assert_eq!(undo("files.copy", with.clone(), outputs).await["removed"], false);
        assert_eq!(read(&at.path().join("b")), "abc");
    }
}

#[tokio::test]
async fn undo_stops_at_a_file_that_took_the_place_of_the_copy() {
    let at = folder();
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b")});
    write(&at.path().join("a"), "abc");
    let outputs = execute("files.copy", with.clone()).await;
    write(&at.path().join("new"), "another program's");
    fs::rename(at.path().join("new"), at.path().join("b")).expect("it takes the place");
    let (failure, left) = Attempt::of("files.copy").undo(with, Some(outputs)).await.failure();
    assert!(failure.contains("was not written by this step"), "{failure}");
    assert_eq!(left, Left::Nothing);
    assert_eq!(read(&at.path().join("b")), "another program's");
}

#[tokio::test]
async fn surprising_paths_are_refused_everywhere() {
    let fine = "/data/disk";
    for path in ["/", "", "//", "relative", "/data/../etc"] {
        for (name, with) in [
            ("files.copy", json!({"from": path, "to": fine})),
            ("files.copy", json!({"from": fine, "to": path})),
            ("files.verify", json!({"path": path})),
            ("files.verify", json!({"path": fine, "equals": path})),
            ("files.moveAside", json!({"path": path})),
            ("files.remove", json!({"path": path, "keep": false})),
        ] {
            assert!(refusal(name, &with).await.contains("parameters in `with` are wrong"), "{name} {with}");
            let (_, left) = failure(name, with.clone()).await;
            assert_eq!(left, Left::Nothing, "{name} {with}");
        }
    }
    let inside = refusal("files.copy", &json!({"from": "/data", "to": "/data/copy"})).await;
    assert!(inside.contains("within each other"), "{inside}");
}

#[tokio::test]
async fn verify_says_what_differs() {
    let at = folder();
    let (a, b) = (at.path().join("a"), at.path().join("b"));
    write(&a, "abc");
    write(&b, "abd");
    let verify = async |with| failure("files.verify", with).await.0;
    assert!(verify(json!({"path": at.path().join("c")})).await.contains("is not there"));
    assert!(verify(json!({"path": a, "exists": false})).await.contains("should not be"));
    assert!(verify(json!({"path": a, "minBytes": 4})).await.contains("has 3 bytes, expected were at least 4"));
    assert!(verify(json!({"path": a, "sha256": "0".repeat(64)})).await.contains("has the SHA-256 ba7816bf"));
    assert!(verify(json!({"path": a, "equals": b})).await.contains("different content"));
    assert!(verify(json!({"path": a, "equals": at.path().join("c")})).await.contains("cannot look at"));
    let outputs = execute("files.verify", json!({"path": at.path().join("c"), "exists": false})).await;
    assert_eq!(outputs, json!({"exists": false, "bytes": null, "sha256": null}));
    assert!(refusal("files.verify", &json!({"path": a, "sha256": "abc"})).await.contains("64 hexadecimal"));
    assert!(refusal("files.verify", &json!({"path": a, "exists": false, "minBytes": 1})).await.contains("no content"));
}

#[tokio::test]
async fn a_path_moved_aside_comes_back_only_to_a_free_place() {
    let at = folder();
    let with = json!({"path": at.path().join("disk")});
    write(&at.path().join("disk"), "old");
    let outputs = execute("files.moveAside", with.clone()).await;
    assert_eq!(read(&path_of(&outputs["movedTo"])), "old");
    write(&at.path().join("disk"), "new");
    let again = execute("files.moveAside", with.clone()).await;
    assert_eq!(again, outputs, "under the same key it has happened already");
    assert_eq!(read(&at.path().join("disk")), "new");
    let (failure, left) = Attempt::of("files.moveAside").undo(with.clone(), Some(outputs.clone())).await.failure();
    assert!(failure.contains("something new is at"), "{failure}");
    assert_eq!(left, Left::Nothing);
    fs::remove_file(at.path().join("disk")).expect("it can be removed");
    assert_eq!(undo("files.moveAside", with, None).await["restored"], true);
    assert_eq!(read(&at.path().join("disk")), "old");
}

#[tokio::test]
async fn each_generation_has_its_own_name_aside() {
    let at = folder();
    let with = json!({"path": at.path().join("disk")});
    let mut kept = Vec::new();
    for generation in 0..2 {
        write(&at.path().join("disk"), format!("generation {generation}"));
        let mut attempt = Attempt::of("files.moveAside");
        attempt.generation = generation;
        kept.push(path_of(&attempt.execute(with.clone()).await.outputs()["movedTo"]));
    }
    assert_eq!(read(&kept[0]), "generation 0");
    assert_eq!(read(&kept[1]), "generation 1");
}

#[tokio::test]
async fn nothing_to_move_aside_is_a_failure_unless_it_is_fine() {
    let at = folder();
    let with = json!({"path": at.path().join("disk")});
    assert!(refusal("files.moveAside", &with).await.contains("there is nothing at"));
    assert_eq!(failure("files.moveAside", with).await.1, Left::Nothing);
    let with = json!({"path": at.path().join("disk"), "missingOk": true});
    assert_eq!(execute("files.moveAside", with).await["movedTo"], Value::Null);
}

#[tokio::test]
async fn remove_takes_a_link_and_not_what_it_points_to() {
    let at = folder();
    fs::create_dir(at.path().join("data")).expect("a folder");
    write(&at.path().join("data/precious"), "precious");
    for keep in [true, false] {
        symlink(at.path().join("data"), at.path().join("link")).expect("a link");
        let outputs = execute("files.remove", json!({"path": at.path().join("link"), "keep": keep})).await;
        assert_eq!(outputs["removed"], true);
        assert!(fs::symlink_metadata(at.path().join("link")).is_err());
        assert_eq!(read(&at.path().join("data/precious")), "precious");
    }
    fs::create_dir(at.path().join("tree")).expect("a folder");
    symlink(at.path().join("data"), at.path().join("tree/link")).expect("a link");
    execute("files.remove", json!({"path": at.path().join("tree"), "keep": false})).await;
    assert_eq!(read(&at.path().join("data/precious")), "precious");
}

#[tokio::test]
async fn removed_for_good_is_gone_and_no_undo_pretends() {
    let at = folder();
    let path = at.path().join("disk");
    let with = json!({"path": path, "keep": false});
    write(&path, "data");
    let outputs = execute("files.remove", with.clone()).await;
    assert_eq!(outputs, json!({"removed": true, "kept": []}));
    assert_eq!(names(at.path()), Vec::<String>::new());
    let (failure, left) = Attempt::of("files.remove").undo(with.clone(), Some(outputs)).await.failure();
    assert!(failure.contains("deleted for good"), "{failure}");
    assert_eq!(left, Left::Nothing);
    assert!(matches!(validate("files.remove", &with, Role::Undo).await, Validation::Refused(_)));
    let outputs = execute("files.remove", with.clone()).await;
    assert_eq!(outputs["removed"], false);
    assert_eq!(undo("files.remove", with, Some(outputs)).await["restored"], false);
}

#[tokio::test]
async fn removed_and_kept_says_where() {
    let at = folder();
    let path = at.path().join("disk");
    write(&path, "data");
    let outputs = execute("files.remove", json!({"path": path})).await;
    assert!(!path.exists());
    assert_eq!(read(&path_of(&outputs["kept"][0])), "data");
    assert_eq!(undo("files.remove", json!({"path": path}), None).await["restored"], true);
    assert_eq!(read(&path), "data");
}

#[tokio::test]
async fn a_cancelled_copy_leaves_no_part_behind() {
    let at = folder();
    write(&at.path().join("a"), vec![7; 4 * 1024 * 1024]);
    let attempt = Attempt::of("files.copy");
    let cancel = attempt.cancel.clone();
    let with = json!({"from": at.path().join("a"), "to": at.path().join("b")});
    let folder = at.path().to_owned();
    let (seen, ()) = tokio::join!(attempt.execute(with), async {
        while names(&folder).len() < 2 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Nothing });
    assert_eq!(names(at.path()), ["a"]);
}
