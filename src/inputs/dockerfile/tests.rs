use proptest::prelude::*;

use super::*;

fn images(
    text: &str,
    arguments: &[(&str, &str)],
    target: Option<&str>,
) -> Result<Vec<String>, Obscure> {
    let platforms = [
        "linux/amd64".parse().unwrap(),
        "linux/arm64".parse().unwrap(),
    ];
    let with = With {
        arguments: arguments.iter().copied().collect(),
        target,
        platforms: &platforms,
        contexts: ["named", "named:1"].into(),
    };
    let images = Dockerfile::read(text.as_bytes())?.images(&with)?;
    let frontend = images.frontend.into_iter();
    Ok(frontend
        .chain(images.bases)
        .map(|image| image.to_string())
        .collect())
}

#[test]
fn every_image_that_the_target_needs_is_found_and_no_other() {
    let text = "\
# syntax=docker/dockerfile:1.7
ARG VERSION=3.20
ARG BASE=alpine:${VERSION}
FROM --platform=$BUILDPLATFORM golang:1 AS Build
RUN --mount=type=cache,target=/c --mount=type=bind,from=tools:2,target=/t go build
FROM node AS unused
FROM scratch AS empty
COPY --from=build /x /x
FROM $BASE AS prod
COPY --from=empty --chown=1 /x /x
COPY --from=nginx /y /y
COPY --from=0 /z /z
";
    let prod = [
        "docker.io/docker/dockerfile:1.7",
        "docker.io/library/alpine:3.20",
        "docker.io/library/golang:1",
        "docker.io/library/nginx:latest",
        "docker.io/library/tools:2",
    ];
    assert_eq!(images(text, &[], None).unwrap(), prod);
    assert_eq!(images(text, &[], Some("PROD")).unwrap(), prod);
    assert_eq!(
        images(text, &[], Some("unused")).unwrap(),
        [prod[0], "docker.io/library/node:latest"]
    );
    let other = images(text, &[("VERSION", "edge")], None).unwrap();
    assert!(other.contains(&"docker.io/library/alpine:edge".to_owned()));
    let other = images(
        text,
        &[(
            "BASE",
            "x.example/y@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        )],
        None,
    );
    assert!(
        other
            .unwrap()
            .iter()
            .any(|image| image.contains("@sha256:"))
    );
}

#[test]
fn platforms_choose_stages_and_named_contexts_take_the_place_of_images() {
    let text = "FROM a AS base-amd64\nFROM b AS base-arm64\nFROM base-$TARGETARCH\n";
    assert_eq!(
        images(text, &[], None).unwrap(),
        ["docker.io/library/a:latest", "docker.io/library/b:latest"]
    );
    let text = "FROM named\nCOPY --from=named:1 / /\nCOPY --from=named:2 / /\n";
    assert_eq!(
        images(text, &[], None).unwrap(),
        ["docker.io/library/named:2"]
    );
}

#[test]
fn a_name_means_the_stage_before_and_not_the_one_to_come() {
    let text = "FROM alpine AS alpine\nFROM alpine AS debian\n";
    assert_eq!(
        images(text, &[], None).unwrap(),
        ["docker.io/library/alpine:latest"]
    );
}

#[test]
fn what_cannot_be_told_is_obscure_with_its_line() {
    type Arguments = &'static [(&'static str, &'static str)];
    let cases: &[(&str, Arguments, &str)] = &[
        (
            "# syntax=example.com/my/frontend\nFROM x",
            &[],
            "the frontend example.com/my/frontend is not known",
        ),
        (
            "FROM x",
            &[("BUILDKIT_SYNTAX", "other/thing")],
            "the frontend other/thing is not known",
        ),
        (
            "FROM x\nADD https://example.com/y /y",
            &[],
            "line 2: ADD fetches https://example.com/y, which no checksum pins",
        ),
        (
            "FROM x\nADD https://me:pw@example.com/y?sig=1 /y",
            &[],
            "line 2: ADD fetches https://example.com/y?…, which no checksum pins",
        ),
        (
            "FROM x\nADD git@github.com:a/b.git /y",
            &[],
            "line 2: ADD fetches git@github.com:a/b.git, which no checksum pins",
        ),
        (
            "FROM x\nADD github.com/a/b /y",
            &[],
            "line 2: ADD fetches github.com/a/b, which no checksum pins",
        ),
        (
            "FROM x\nADD [\"https://example.com/y\", \"/y\"]",
            &[],
            "line 2: ADD fetches https://example.com/y, which no checksum pins",
        ),
        (
            "FROM x\nADD http://example.com/a.txt#0123456789012345678901234567890123456789 /y",
            &[],
            "line 2: ADD fetches http://example.com/a.txt#0123456789012345678901234567890123456789, which no checksum pins",
        ),
        (
            "FROM x\nARG U\nADD $U /y",
            &[],
            "line 3: it cannot be told whether ADD fetches $U",
        ),
        (
            "FROM x\nONBUILD ADD https://example.com/y /y",
            &[],
            "line 2: ADD fetches https://example.com/y, which no checksum pins",
        ),
        (
            "FROM x\nCOPY --from=$Y / /",
            &[],
            "line 2: `from` is no plain name",
        ),
        (
            "FROM x\nCOPY --from=7 / /",
            &[],
            "line 2: the stage does not exist",
        ),
        (
            "FROM x-$BUILDARCH",
            &[],
            "line 1: only the builder knows $BUILDARCH",
        ),
        (
            "INCLUDE x",
            &[],
            "line 1: the instruction `include` is not known",
        ),
        (
            "RUN x",
            &[],
            "line 1: an instruction stands before the first FROM",
        ),
        ("FROM UPPER", &[], "line 1: `UPPER` is no image"),
        ("# nothing", &[], "it has no FROM"),
    ];
    for (text, arguments, message) in cases {
        let error = images(text, arguments, None).unwrap_err();
        assert_eq!(error.to_string(), *message, "{text}");
    }
}

#[test]
fn what_is_pinned_is_known() {
    for text in [
        "FROM x\nADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.com/y /y",
        "FROM x\nADD https://github.com/a/b.git#0123456789012345678901234567890123456789:sub /y",
        "FROM x\nADD git@example.com:a/b#0123456789012345678901234567890123456789 /y",
        "FROM x\nADD github.com/a/b#0123456789012345678901234567890123456789 /y",
        "FROM x\nADD ./$X /y",
        "FROM x\nADD target/${JAR}.jar a.tar /y/",
        "FROM x\nADD <<EOF /y\nhttps://example.com\nEOF\n",
        "FROM x AS y\nADD https://example.com/y /y\nFROM x\n",
    ] {
        assert_eq!(
            images(text, &[], None).unwrap(),
            ["docker.io/library/x:latest"],
            "{text}"
        );
    }
}

#[test]
fn a_trigger_is_plain_where_it_takes_from_the_context_only() {
    for plain in [
        "COPY . /app",
        "COPY --chown=1:1 package.json /app/",
        "RUN --mount=type=cache,target=/c npm ci",
        "ADD a.tar /",
        "ENV A=b",
        "ARG V",
    ] {
        assert_eq!(check_trigger(plain), Ok(()), "{plain}");
    }
    for (trigger, why) in [
        (
            "COPY --from=x/dep:latest /v /v",
            "it takes from x/dep:latest",
        ),
        ("COPY --from=0 /v /v", "it takes from 0"),
        (
            "RUN --mount=type=bind,from=x,target=/x true",
            "it takes from x",
        ),
        (
            "ADD https://example.com/y /y",
            "ADD fetches https://example.com/y, which no checksum pins",
        ),
        (
            "ONBUILD RUN true",
            "it is no instruction that a trigger can be",
        ),
        ("FROM x", "it is no instruction that a trigger can be"),
        ("WHATEVER x", "it is no instruction that a trigger can be"),
        ("RUN a\nRUN b", "it is not one instruction"),
        ("", "it is not one instruction"),
    ] {
        assert_eq!(check_trigger(trigger).unwrap_err().what, why, "{trigger}");
    }
}

#[test]
fn a_build_begins_with_the_images_of_from_and_no_others() {
    let text = "FROM a AS one\nFROM b AS unused\nFROM one\nCOPY --from=c / /\nCOPY --from=d / /\n";
    let found = Dockerfile::read(text.as_bytes())
        .unwrap()
        .images(&With::default());
    let names: Vec<String> = found
        .unwrap()
        .begun
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["docker.io/library/a:latest"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Dockerfile::read(&bytes).map(|read| read.images(&With::default()));
    }

    #[test]
    fn no_dockerfile_makes_it_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("FROM "), Just("ARG "), Just("COPY --from="), Just("RUN --mount=from="), Just("ADD "),
                Just("ONBUILD "), Just("<<EOF"), Just("EOF\n"), Just("\n"), Just("\\\n"), Just("`\n"), Just("$"),
                Just("${A:-"), Just("}"), Just("'"), Just("\""), Just("# escape=`\n"), Just("# syntax=x\n"),
                Just("A=b "), Just("as "), Just("a"), Just("0"), Just(" "), Just("#"), Just("\r"), Just("ä"),
            ],
            0..60,
        ),
    ) {
        let text: String = parts.concat();
        let _ = Dockerfile::read(text.as_bytes()).map(|read| read.images(&With::default()));
    }
}

#[test]
fn an_instruction_that_no_dockerfile_has_is_found() {
    let first = |text: &str| UnknownInstruction::first(text.as_bytes());
    let unknown = |line, keyword: &str, nearest: Option<&str>| {
        Some(UnknownInstruction {
            line,
            keyword: keyword.to_owned(),
            nearest: nearest.map(str::to_owned),
        })
    };
    assert_eq!(first("FORM scratch\n"), unknown(1, "FORM", Some("FROM")));
    let text = "FROM scratch\n\ncopy a b\nRUNN x \\\n  y\n";
    assert_eq!(first(text), unknown(4, "RUNN", Some("RUN")));
    assert_eq!(first("FROM scratch\nQQ x\n"), unknown(2, "QQ", None));
    assert_eq!(first("FROM scratch\nRUN <<A\nFORM\nA\n"), None);
    assert_eq!(first("# syntax=example.com/mine\nINCLUDE x\n"), None);
    assert_eq!(first("FROM scratch\n"), None);
}
