//! Bytes pushed to a host: whole or not at all.

use provision::ground::Digest;
use provision::remote::shell::Upload;
use sha2::Digest as _;
use tempfile::TempDir;

use super::{LIMIT, Record, SHELLS, change, claim, names, places, recorded, text, until};

#[tokio::test]
async fn fifty_mebibytes_pass_through_the_shells_own_input() {
    let bytes: Vec<u8> =
        (0..50_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let digest = Digest::Sha512(hex(&sha2::Sha512::digest(&bytes)));
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let (mut changer, _) = change(shell, dir.path(), "r1").await;
        let upload = Upload {
            directory: dir.path(),
            name: "big file",
            bytes: bytes.len() as u64,
            digest: &digest,
            mode: 0o644,
        };
        let reply = changer.push(bytes.as_slice(), &upload, LIMIT).await.unwrap();
        assert_eq!((reply.status, text(&reply.stdout).as_str()), (0, ""), "{shell}");
        assert!(std::fs::read(dir.path().join("big file")).unwrap() == bytes, "{shell}");
        assert_eq!(changer.ask("echo on", LIMIT).await.unwrap().stdout, b"on\n", "{shell}");
        assert_eq!(names(dir.path()), ["big file", "run", "state"], "{shell}");
    }
}

#[tokio::test]
async fn a_push_that_fails_leaves_the_old_file_and_runs_nothing_of_it() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("f"), "old").unwrap();
        let marker = dir.path().join("marker");
        let evil = format!("touch {}\n", marker.display()).repeat(50_000);
        let right = Digest::Sha256(hex(&sha2::Sha256::digest(evil.as_bytes())));
        let wrong = Digest::Sha256("0".repeat(64));
        let bytes = evil.len() as u64;
        let upload =
            |digest, directory| Upload { directory, name: "f", bytes, digest, mode: 0o644 };
        let (mut changer, _) = change(shell, dir.path(), "r1").await;
        let reply =
            changer.push(evil.as_bytes(), &upload(&wrong, dir.path()), LIMIT).await.unwrap();
        assert_eq!(reply.status, 65, "{shell}");
        let nowhere = dir.path().join("nowhere");
        let reply = changer.push(evil.as_bytes(), &upload(&right, &nowhere), LIMIT).await.unwrap();
        assert_eq!(reply.status, 73, "{shell}");
        assert!(text(&reply.stdout).contains("mktemp"), "{shell}: {:?}", reply.stdout);
        assert_eq!(changer.ask("echo on", LIMIT).await.unwrap().stdout, b"on\n", "{shell}");
        let short = &evil.as_bytes()[..1000];
        let lost = changer.push(short, &upload(&right, dir.path()), LIMIT).await.unwrap_err();
        assert!(lost.to_string().contains("ended"), "{shell}: {lost}");
        drop(changer);
        until(async || names(dir.path()) == ["f", "run", "state"]).await;
        assert!(!marker.exists(), "{shell}");
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"old", "{shell}");
    }
}

#[tokio::test]
async fn a_full_disk_keeps_the_old_file_and_runs_nothing_of_the_new_one() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("f"), "old").unwrap();
        let marker = dir.path().join("marker");
        let evil = format!("touch {}\n", marker.display()).repeat(50_000);
        // Writing past this limit fails as it does on a full disk.
        let full = "trap '' XFSZ; ulimit -f 128; ";
        let opened = recorded(full, shell, Record::default()).await;
        let (mut changer, _) =
            opened.change(&places(dir.path()), claim("r1"), ":", LIMIT, || ()).await.unwrap();
        let digest = Digest::Sha256(hex(&sha2::Sha256::digest(evil.as_bytes())));
        let upload = Upload {
            directory: dir.path(),
            name: "f",
            bytes: evil.len() as u64,
            digest: &digest,
            mode: 0o644,
        };
        let reply = changer.push(evil.as_bytes(), &upload, LIMIT).await.unwrap();
        assert_eq!(reply.status, 74, "{shell}");
        assert!(text(&reply.stdout).contains("File too large"), "{shell}: {:?}", reply.stdout);
        assert_eq!(changer.ask("echo on", LIMIT).await.unwrap().stdout, b"on\n", "{shell}");
        assert_eq!(names(dir.path()), ["f", "run", "state"], "{shell}");
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"old", "{shell}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
