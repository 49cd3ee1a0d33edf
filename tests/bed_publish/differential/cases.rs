//! The cases: what the compose file and publish.toml say, and the arguments that say it to buildx.

/// One service and one call of buildx.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) dockerfile: &'static str,
    /// Keys of the service besides `build`, indented by four.
    pub(super) service: &'static str,
    /// Keys of `build`, a line each.
    pub(super) build: &'static str,
    /// Keys of `[services.NAME]`.
    pub(super) publish: &'static str,
    /// Arguments of buildx.
    pub(super) buildx: &'static [&'static str],
    /// What is added to buildx's exporter.
    pub(super) output: &'static str,
    /// Whether both build past the cache, so that dates differ.
    pub(super) fresh: bool,
}

/// A Dockerfile that any option can be given to.
const COPY: &str = "FROM @BASE\nCOPY file /file\n";
/// One that shows where it ran.
const RUN: &str = "FROM @BASE\nCOPY file /file\nRUN cat /etc/hosts > /hosts; ulimit -n > /nofile; df -k /dev/shm | tail -1 > /shm\n";

const fn case(name: &'static str, dockerfile: &'static str) -> Case {
    Case {
        name,
        dockerfile,
        service: "",
        build: "",
        publish: "",
        buildx: &[],
        output: "",
        fresh: false,
    }
}

/// A case that is said in the compose file.
const fn built(
    name: &'static str,
    dockerfile: &'static str,
    build: &'static str,
    buildx: &'static [&'static str],
) -> Case {
    let mut case = case(name, dockerfile);
    case.build = build;
    case.buildx = buildx;
    case
}

/// A case that is said in publish.toml.
const fn published(
    name: &'static str,
    dockerfile: &'static str,
    publish: &'static str,
    buildx: &'static [&'static str],
    output: &'static str,
) -> Case {
    let mut case = case(name, dockerfile);
    case.publish = publish;
    case.buildx = buildx;
    case.output = output;
    case
}

const fn fresh(mut case: Case) -> Case {
    case.fresh = true;
    case
}

const BOTH: &str = "platforms = [\"linux/amd64\", \"linux/arm64\"]";

pub(super) const CASES: &[Case] = &[
    // What a Dockerfile can say.
    case("plain", COPY),
    case(
        "config",
        "FROM @BASE\nENV A=1 B=\"two words\"\nWORKDIR /work\nUSER nobody\nEXPOSE 80 53/udp\nVOLUME /data\nSTOPSIGNAL SIGINT\nENTRYPOINT [\"a\"]\nCMD [\"b\"]\nHEALTHCHECK --interval=5s CMD true\nSHELL [\"/bin/ash\", \"-c\"]\nONBUILD RUN true\nLABEL own=yes\n",
    ),
    case(
        "heredoc",
        "FROM @BASE\nCOPY <<a <<b /\nfirst\na\nsecond\nb\nRUN <<end\necho one > /one\necho two > /two\nend\n",
    ),
    case(
        "escape",
        "# escape=`\nFROM @BASE\nRUN echo one `\n two > /said\n",
    ),
    case("copy-link", "FROM @BASE\nCOPY --link deep /deep\n"),
    case(
        "copy-modes",
        "FROM @BASE\nCOPY --chmod=0600 --chown=7:8 file /file\nCOPY --chmod=755 script.sh /script\n",
    ),
    case("copy-links", "FROM @BASE\nCOPY link /link\nCOPY . /all\n"),
    case(
        "copy-exclude",
        "FROM @BASE\nCOPY deep/er/fil? deep/*/file /many/\n",
    ),
    case(
        "stages",
        "FROM @BASE AS one\nRUN echo one > /one\nFROM one AS two\nRUN echo two > /two\nFROM @BASE\nCOPY --from=one /one /\nCOPY --from=1 /two /\n",
    ),
    case(
        "from-image",
        "FROM scratch\nCOPY --from=@BASE /bin/busybox /busybox\n",
    ),
    case(
        "mounts",
        "FROM @BASE AS one\nRUN echo one > /one\nFROM @BASE\nRUN --mount=type=bind,from=one,target=/from --mount=type=cache,target=/cache --mount=type=tmpfs,target=/tmp cat /from/one > /said\n",
    ),
    case(
        "bind-context",
        "FROM @BASE\nRUN --mount=type=bind,target=/context find /context | sort > /list\n",
    ),
    case(
        "builtin-args",
        "ARG V=1\nFROM --platform=$BUILDPLATFORM @BASE\nARG TARGETPLATFORM TARGETARCH BUILDOS\nARG V\nRUN echo \"$TARGETPLATFORM $TARGETARCH $BUILDOS $V\" > /said\n",
    ),
    case("own-ignore", "FROM @BASE\nCOPY . /all\n"),
    case("no-layers", "FROM scratch\nENV A=1\n"),
    case(
        "unused-stage",
        "FROM @BASE AS broken\nRUN exit 1\nFROM @BASE\nCOPY file /file\n",
    ),
    // What the compose file can say.
    built(
        "target",
        "FROM @BASE AS one\nCOPY file /one\nFROM one AS two\nCOPY file /two\n",
        "target: one",
        &["--target", "one"],
    ),
    built(
        "args",
        "ARG IMAGE\nFROM $IMAGE\nARG WORD=unset EMPTY=full\nRUN echo \"$WORD|$EMPTY\" > /said\n",
        "args: { IMAGE: \"@BASE\", WORD: \"a b\", EMPTY: \"\" }",
        &[
            "--build-arg",
            "IMAGE=@BASE",
            "--build-arg",
            "WORD=a b",
            "--build-arg",
            "EMPTY=",
        ],
    ),
    built(
        "args-list",
        "FROM @BASE\nARG ONE\nARG TWO\nRUN echo \"$ONE$TWO\" > /said\n",
        "args: [\"ONE=1\", \"TWO=2=2\"]",
        &["--build-arg", "ONE=1", "--build-arg", "TWO=2=2"],
    ),
    built(
        "args-environment",
        "FROM @BASE\nARG DIFFERENTIAL_ARG\nRUN echo \"$DIFFERENTIAL_ARG\" > /said\n",
        "args: [DIFFERENTIAL_ARG]",
        &["--build-arg", "DIFFERENTIAL_ARG"],
    ),
    built(
        "args-proxy",
        "FROM @BASE\nRUN echo \"$HTTP_PROXY\" > /said\n",
        "args: { HTTP_PROXY: \"http://proxy.invalid\" }",
        &["--build-arg", "HTTP_PROXY=http://proxy.invalid"],
    ),
    built(
        "args-unused",
        COPY,
        "args: { NOBODY: asks }",
        &["--build-arg", "NOBODY=asks"],
    ),
    built(
        "labels",
        "FROM @BASE\nLABEL team=red keep=me\n",
        "labels: { team: blue, \"com.example/x\": \"a \\\"b\\\" $$c\" }",
        &[
            "--label",
            "team=blue",
            "--label",
            "com.example/x=a \"b\" $c",
        ],
    ),
    built(
        "labels-list",
        COPY,
        "labels: [\"a=1\", \"b\"]",
        &["--label", "a=1", "--label", "b="],
    ),
    built("network-none", RUN, "network: none", &["--network", "none"]),
    built(
        "hosts",
        RUN,
        "extra_hosts: [\"one:10.0.0.1\", \"two=10.0.0.2\"]",
        &["--add-host", "one:10.0.0.1", "--add-host", "two:10.0.0.2"],
    ),
    built(
        "hosts-v6",
        RUN,
        "extra_hosts: { six: \"::1\", bracket: \"[::2]\" }",
        &["--add-host", "bracket=::2", "--add-host", "six=::1"],
    ),
    built("shm", RUN, "shm_size: 96mb", &["--shm-size", "96mb"]),
    built(
        "ulimits",
        RUN,
        "ulimits: { nofile: { soft: 512, hard: 1024 }, nproc: 4096 }",
        &["--ulimit", "nofile=512:1024", "--ulimit", "nproc=4096"],
    ),
    built("pull", COPY, "pull: true", &["--pull"]),
    fresh(built(
        "no-cache",
        "FROM @BASE\nCOPY file /of-no-cache\nRUN date > /date\n",
        "no_cache: true",
        &["--no-cache"],
    )),
    fresh(built(
        "no-cache-filter",
        "FROM @BASE AS one\nRUN date > /one\nFROM one AS two\nRUN date > /two\n",
        "x-bake: { no-cache-filter: [one] }",
        &["--no-cache-filter", "one"],
    )),
    built(
        "secret-file",
        "FROM @BASE\nRUN --mount=type=secret,id=from_file cat /run/secrets/from_file | md5sum > /sum\n",
        "secrets: [from_file]",
        &["--secret", "id=from_file,src=secret"],
    ),
    built(
        "secret-environment",
        "FROM @BASE\nRUN --mount=type=secret,id=from_env,env=WORD echo \"$WORD\" | md5sum > /sum\n",
        "secrets: [from_env]",
        &["--secret", "id=from_env,env=DIFFERENTIAL_SECRET"],
    ),
    built(
        "secret-renamed",
        "FROM @BASE\nRUN --mount=type=secret,id=other,target=/s md5sum < /s > /sum\n",
        "secrets: [{ source: from_file, target: other }]",
        &["--secret", "id=other,src=secret"],
    ),
    built(
        "secret-bake",
        "FROM @BASE\nRUN --mount=type=secret,id=baked,env=WORD echo \"$WORD\" | md5sum > /sum\n",
        "x-bake: { secret: [\"id=baked,env=DIFFERENTIAL_SECRET\"] }",
        &["--secret", "id=baked,env=DIFFERENTIAL_SECRET"],
    ),
    built(
        "context-folder",
        "FROM @BASE\nCOPY --from=other file /other\n",
        "additional_contexts: { other: ./other }",
        &["--build-context", "other=other"],
    ),
    built(
        "context-image",
        "FROM alias\nCOPY file /file\n",
        "additional_contexts: { alias: \"docker-image://@BASE\" }",
        &["--build-context", "alias=docker-image://@BASE"],
    ),
    built(
        "context-instead",
        "FROM nowhere.invalid/image:1\nCOPY file /file\n",
        "additional_contexts: [\"nowhere.invalid/image:1=docker-image://@BASE\"]",
        &[
            "--build-context",
            "nowhere.invalid/image:1=docker-image://@BASE",
        ],
    ),
    built(
        "context-mount",
        "FROM @BASE\nRUN --mount=from=other,target=/other cat /other/file > /said\n",
        "additional_contexts: { other: ./other }",
        &["--build-context", "other=other"],
    ),
    built(
        "cache-from-nothing",
        COPY,
        "cache_from: [\"127.0.0.1:1/no/cache\"]",
        &["--cache-from", "127.0.0.1:1/no/cache"],
    ),
    built(
        "multi-platform-arg",
        COPY,
        "args: { BUILDKIT_MULTI_PLATFORM: \"1\" }",
        &["--build-arg", "BUILDKIT_MULTI_PLATFORM=1"],
    ),
    built(
        "epoch-arg",
        "FROM @BASE\nARG SOURCE_DATE_EPOCH\nRUN echo \"$SOURCE_DATE_EPOCH\" > /said\n",
        "args: { SOURCE_DATE_EPOCH: \"1600000000\" }",
        &["--build-arg", "SOURCE_DATE_EPOCH=1600000000"],
    ),
    built(
        "platforms",
        RUN,
        "platforms: [linux/arm64]",
        &["--platform", "linux/arm64"],
    ),
    built(
        "platforms-both",
        "FROM @BASE\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\n",
        "platforms: [\"linux/amd64\", \"linux/arm64\"]",
        &["--platform", "linux/amd64,linux/arm64"],
    ),
    Case {
        service: "    platform: linux/arm64\n",
        buildx: &["--platform", "linux/arm64"],
        ..case("platform-of-service", COPY)
    },
    Case {
        publish: "allow = [\"network.host\"]",
        ..built(
            "privileges",
            "FROM @BASE\nRUN --network=host cat /proc/net/dev | grep -c lo > /said\n",
            "entitlements: [network.host]",
            &["--allow", "network.host"],
        )
    },
    // What publish.toml can say.
    Case {
        publish: "allow = [\"network.host\"]",
        ..built(
            "network-host",
            RUN,
            "network: host",
            &["--network", "host", "--allow", "network.host"],
        )
    },
    published(
        "provenance-min",
        COPY,
        "provenance = \"min\"",
        &["--provenance", "mode=min"],
        "",
    ),
    published(
        "provenance-max",
        COPY,
        "provenance = \"max\"",
        &["--provenance", "mode=max"],
        "",
    ),
    published(
        "provenance-both",
        COPY,
        "platforms = [\"linux/amd64\", \"linux/arm64\"]\nprovenance = \"min\"",
        &[
            "--provenance",
            "mode=min",
            "--platform",
            "linux/amd64,linux/arm64",
        ],
        "",
    ),
    published(
        "sbom",
        COPY,
        "sbom = { generator = \"@SCANNER\" }",
        &["--sbom", "generator=@SCANNER"],
        "",
    ),
    published(
        "everything-attested",
        COPY,
        "sbom = { generator = \"@SCANNER\" }\nprovenance = \"max\"",
        &["--sbom", "generator=@SCANNER", "--provenance", "mode=max"],
        "",
    ),
    published(
        "both",
        COPY,
        BOTH,
        &["--platform", "linux/amd64,linux/arm64"],
        "",
    ),
    published("pull-publish", COPY, "pull = true", &["--pull"], ""),
    published(
        "reproducible",
        RUN,
        "reproducible = true",
        &["--build-arg", "SOURCE_DATE_EPOCH=@COMMIT"],
        ",rewrite-timestamp=true",
    ),
    published(
        "reproducible-both",
        COPY,
        "platforms = [\"linux/amd64\", \"linux/arm64\"]\nreproducible = true",
        &[
            "--build-arg",
            "SOURCE_DATE_EPOCH=@COMMIT",
            "--platform",
            "linux/amd64,linux/arm64",
        ],
        ",rewrite-timestamp=true",
    ),
    published(
        "zstd",
        COPY,
        "compression = \"zstd\"",
        &[],
        ",compression=zstd",
    ),
    published(
        "zstd-forced",
        COPY,
        "compression = { kind = \"zstd\", level = 7, force = true }",
        &[],
        ",compression=zstd,compression-level=7,force-compression=true",
    ),
    published(
        "gzip-9",
        COPY,
        "compression = { kind = \"gzip\", level = 9, force = true }",
        &[],
        ",compression=gzip,compression-level=9,force-compression=true",
    ),
    published(
        "uncompressed",
        COPY,
        "compression = \"uncompressed\"",
        &[],
        ",compression=uncompressed",
    ),
    // `estargz` is left out: the engine of Debian 12 dies of it (panic: footer buffer = 48, not 51).
    published(
        "docker-types",
        COPY,
        "media_types = \"docker\"",
        &[],
        ",oci-mediatypes=false",
    ),
    published(
        "docker-types-both",
        COPY,
        "platforms = [\"linux/amd64\", \"linux/arm64\"]\nmedia_types = \"docker\"",
        &["--platform", "linux/amd64,linux/arm64"],
        ",oci-mediatypes=false",
    ),
    fresh(published(
        "no-cache-publish",
        "FROM scratch\nCOPY file /of-no-cache-publish\n",
        "no_cache = true",
        &["--no-cache"],
        "",
    )),
];
