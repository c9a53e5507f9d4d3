//! The cache of compiled code.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shaddock_engine::{Cache, EngineError, compile};
use support::{TestHost, component, engine, spec, wat};

const EMPTY: &str = r#"(component
    (core module $m (func (export "f")) (func (export "g")))
    (core instance $i (instantiate $m)))"#;

fn code_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

#[test]
fn a_component_is_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = (Cache::open(dir.path()).unwrap(), wat("once", EMPTY));
    assert!(cache.lookup(&file).unwrap().is_none());
    assert!(matches!(cache.require(&file), Err(EngineError::NotCompiled { .. })));
    assert!(cache.require(&file).unwrap_err().to_string().contains("run `shaddock compile "));
    let compiled = compile::compile(&file, &cache).unwrap();
    let written = fs::metadata(compiled.code()).unwrap().modified().unwrap();
    let again = compile::compile(&file, &cache).unwrap();
    assert_eq!(compiled.code(), again.code());
    assert_eq!(fs::metadata(again.code()).unwrap().modified().unwrap(), written);
    assert_eq!(cache.require(&file).unwrap().digest(), compiled.digest());
    assert_eq!(compiled.digest().len(), 64);
}

#[test]
fn functions_that_were_compiled_before_give_the_same_code() {
    let [alone, after] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (own, other) = (component("probe.wasm"), component("chat.wasm"));
    let compile = |dir: &Path, file: &Path| {
        let compiled = compile::compile(file, &Cache::open(dir).unwrap()).unwrap();
        compiled.code().file_name().unwrap().to_owned()
    };
    let functions = || {
        let mut files = fs::read_dir(after.path()).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "functions")).unwrap()
    };
    let code = compile(alone.path(), &own);
    compile(after.path(), &other);
    let others = fs::read(functions()).unwrap();
    assert_eq!(compile(after.path(), &own), code, "the file's name has its checksum");
    let both = fs::read(functions()).unwrap();
    assert!(both.len() > others.len());
    fs::remove_file(after.path().join(&code)).unwrap();
    assert_eq!(compile(after.path(), &own), code);
    // Of some functions the compiler does not know that they are the same.
    let anew = fs::read(functions()).unwrap().len() - both.len();
    assert!(anew < (both.len() - others.len()) / 3, "{anew} bytes compiled anew");
    fs::write(functions(), &both[..both.len() - 1]).unwrap();
    fs::remove_file(after.path().join(&code)).unwrap();
    assert_eq!(compile(after.path(), &own), code, "a damaged file is not used");
    assert_eq!(fs::metadata(functions()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_directory_and_its_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("a/b");
    let cache = Cache::open(&inner).unwrap();
    compile::compile(&wat("private", EMPTY), &cache).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    assert_eq!(mode(&code_files(&inner)[0]), 0o600);
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o770)).unwrap();
    let error = Cache::open(&inner).unwrap_err().to_string();
    assert!(error.contains("others can write to it (mode 770)") && error.contains("chmod 700"), "{error}");
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
    // Only root can give a directory away.
    if std::os::unix::fs::chown(&inner, Some(65534), None).is_ok() {
        let error = Cache::open(&inner).unwrap_err().to_string();
        assert!(error.contains("belongs to another user"), "{error}");
    }
}

type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

#[tokio::test]
async fn damaged_code_is_never_loaded_and_can_be_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = (Cache::open(dir.path()).unwrap(), wat("damaged", EMPTY));
    let compiled = compile::compile(&file, &cache).unwrap();
    let damage = |how: Damage<'_>| {
        let mut bytes = fs::read(compiled.code()).unwrap();
        how(&mut bytes);
        fs::write(compiled.code(), bytes).unwrap();
    };
    let damages: [Damage<'_>; 3] =
        [&|bytes| bytes[100] ^= 1, &|bytes| bytes.truncate(bytes.len() / 2), &Vec::clear];
    for how in damages {
        damage(how);
        let loaded =
            engine().load(spec(), &cache.require(&file).unwrap(), Arc::new(TestHost::default())).await;
        assert!(matches!(loaded, Err(EngineError::Corrupt { .. })), "{loaded:?}");
        // Even if it is damaged after it was looked up.
        let loaded = engine().load(spec(), &compiled, Arc::new(TestHost::default())).await;
        assert!(matches!(loaded, Err(EngineError::Corrupt { .. })), "{loaded:?}");
        assert!(cache.lookup(&file).unwrap().is_none(), "counts as absent");
        compile::compile(&file, &cache).unwrap();
        cache.require(&file).unwrap();
        assert_eq!(code_files(dir.path()).len(), 1);
    }
}

#[tokio::test]
async fn code_of_another_kind_under_a_right_checksum_is_refused() {
    use sha2::Digest;
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = (Cache::open(dir.path()).unwrap(), wat("kind", EMPTY));
    let compiled = compile::compile(&file, &cache).unwrap();
    let bytes = b"not machine code";
    let sum: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = compiled.code().file_name().unwrap().to_str().unwrap().to_owned();
    fs::remove_file(compiled.code()).unwrap();
    let end = name.rfind('-').unwrap();
    fs::write(dir.path().join(format!("{}-{sum}.cwasm", &name[..end])), bytes).unwrap();
    let loaded = engine().load(spec(), &cache.require(&file).unwrap(), Arc::new(TestHost::default())).await;
    assert!(matches!(loaded, Err(EngineError::Unloadable { .. })), "{loaded:?}");
}

#[test]
fn a_place_where_no_directory_can_be_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Cache::open(&file.path().join("cache")).unwrap_err();
    assert!(error.to_string().contains("cannot make the directory"), "{error}");
    let error = Cache::open(Path::new("/proc/shaddock")).unwrap_err();
    assert!(error.to_string().contains("/proc/shaddock"), "{error}");
}

#[test]
fn the_cache_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    for number in 0..70 {
        let padding = format!("(func (export \"f{number}\"))");
        let text = EMPTY.replace("(func (export \"g\"))", &padding);
        compile::compile(&wat(&format!("bounded{number}"), &text), &cache).unwrap();
    }
    assert_eq!(code_files(dir.path()).len(), 64);
    assert!(
        cache
            .lookup(&wat("bounded69", &EMPTY.replace("(func (export \"g\"))", "(func (export \"f69\"))")))
            .unwrap()
            .is_some()
    );
}
