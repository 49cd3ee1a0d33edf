//! Builds whose results other builds take in (BuildKit, client/build.go and frontend/gateway).
//!
//! Such a build names no frontend to the solver. It asks for the frontend's result through the
//! gateway of its own job, hands that on, and then returns it to the job, which exports it. buildx
//! does the same for the linked targets of a bake file.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard_buildkit_proto::moby::buildkit::v1::SolveRequest;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    self, EvaluateRequest, Ref, Result as FrontendResult, ReturnRequest, StatFileRequest, result,
};
use bollard_buildkit_proto::pb::{
    Definition, DiffOp, Input, LowerDiffInput, Op, OpMetadata, UpperDiffInput, op,
};
use futures_util::future::try_join_all;
use prost::Message as _;
use serde_json::json;
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::dial::MAX_MESSAGE;
use super::job::Serving;
use super::map_values::{keep_in_definition, keep_in_result};
use crate::oci::Digest;

/// The metadata by which the gateway finds the job (BuildKit, client/buildid).
const BUILD_ID: &str = "buildkit-controlapi-buildid";
/// The frontend's attribute for steps that are built past the cache: empty for all, or names of stages.
pub(super) const NO_CACHE: &str = "no-cache";
/// The image's configuration in a result's metadata (exporter/containerimage/exptypes).
const IMAGE_CONFIG: &str = "containerimage.config";

/// A result, for the builds that take it in.
pub(super) struct Linked {
    parts: Vec<Part>,
    /// Whether it was built past the cache, in whole or in part.
    is_fresh: bool,
    /// The session that the result's local sources name. It ends with the last who holds this.
    _session: Arc<Serving>,
    /// Closes with the last who holds this.
    _held: mpsc::Sender<()>,
}

/// The result for one platform.
struct Part {
    /// The platform as the frontend writes it; none where the result is one for all.
    platform: Option<String>,
    definition: Definition,
    /// The configuration of the image, JSON.
    config: Option<Vec<u8>>,
}

/// Takes the frontend out of a request: the job then waits for what the gateway gives it.
pub(super) fn split(request: &mut SolveRequest) -> frontend::SolveRequest {
    let imports = request.cache.iter().flat_map(|cache| &cache.imports);
    frontend::SolveRequest {
        frontend: std::mem::take(&mut request.frontend),
        frontend_opt: request.frontend_attrs.clone(),
        frontend_inputs: std::mem::take(&mut request.frontend_inputs),
        cache_imports: imports
            .map(|cache| frontend::CacheOptionsEntry {
                r#type: cache.r#type.clone(),
                attrs: cache.attrs.clone(),
            })
            .collect(),
        allow_result_return: true,
        allow_result_array_ref: true,
        ..frontend::SolveRequest::default()
    }
}

/// Runs the frontend within the job `build`, hands its result on, and returns it to the job.
pub(super) async fn drive(
    channel: Channel,
    build: &str,
    request: frontend::SolveRequest,
    session: Arc<Serving>,
    hand_on: impl FnOnce(Linked),
) -> Result<(), Status> {
    let is_fresh = request.frontend_opt.contains_key(NO_CACHE);
    let mut gateway = LlbBridgeClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let answer = gateway.solve(of(build, request)?).await?.into_inner();
    let mut result = answer
        .result
        .ok_or_else(|| Status::internal("the frontend gave no result"))?;
    keep_in_result(&mut result);
    // Whoever takes the result in finds it built.
    let references = references(&result);
    try_join_all(references.map(|id| evaluate(gateway.clone(), build, id))).await?;
    let (held, mut let_go) = mpsc::channel(1);
    hand_on(Linked {
        parts: parts(&result),
        is_fresh,
        _session: session,
        _held: held,
    });
    // Of what was built past the cache, the builder may keep older results under the same keys. Only
    // as long as this job is there do the others find this one.
    if is_fresh {
        let_go.recv().await;
    }
    let request = ReturnRequest {
        result: Some(result),
        error: None,
    };
    gateway.r#return(of(build, request)?).await?;
    Ok(())
}

/// The ids of what a result consists of. Nothing has none.
fn references(result: &FrontendResult) -> impl Iterator<Item = &str> {
    let (one, several) = match &result.result {
        Some(result::Result::Ref(reference)) => (Some(reference), None),
        Some(result::Result::Refs(map)) => (None, Some(map.refs.values())),
        Some(result::Result::RefDeprecated(_) | result::Result::RefsDeprecated(_)) | None => {
            (None, None)
        }
    };
    let all = one.into_iter().chain(several.into_iter().flatten());
    all.map(|reference| reference.id.as_str())
        .filter(|id| !id.is_empty())
}

/// Has a part of a result built. Asked for with the frontend itself, BuildKit 0.11 and 0.12 fall over a
/// part that is nothing.
async fn evaluate(
    mut gateway: LlbBridgeClient<Channel>,
    build: &str,
    id: &str,
) -> Result<(), Status> {
    let request = EvaluateRequest {
        r#ref: id.to_owned(),
    };
    match gateway.evaluate(of(build, request)?).await {
        // BuildKit before 0.11. What is looked into is built.
        Err(status) if status.code() == Code::Unimplemented => {
            let request = StatFileRequest {
                r#ref: id.to_owned(),
                path: "/".to_owned(),
                mount_index: 0,
            };
            gateway.stat_file(of(build, request)?).await?;
        }
        evaluated => {
            evaluated?;
        }
    }
    Ok(())
}

/// A request that belongs to the job `build`.
fn of<T>(build: &str, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let id = MetadataValue::try_from(build)
        .map_err(|_| Status::internal("the build's id is not ASCII"))?;
    request.metadata_mut().insert(BUILD_ID, id);
    Ok(request)
}

/// What a result consists of.
fn parts(result: &FrontendResult) -> Vec<Part> {
    let part = |platform: Option<&String>, reference: &Ref| {
        let key = match platform {
            Some(platform) => format!("{IMAGE_CONFIG}/{platform}"),
            None => IMAGE_CONFIG.to_owned(),
        };
        let definition = reference.def.clone();
        let built = definition.filter(|definition| !definition.def.is_empty());
        let mut definition = built.unwrap_or_else(nothing);
        // It has just been built. Whoever builds on it wants that, and not another one.
        for metadata in definition.metadata.values_mut() {
            metadata.ignore_cache = false;
        }
        keep_in_definition(&mut definition);
        Part {
            platform: platform.cloned(),
            definition,
            config: result.metadata.get(&key).cloned(),
        }
    };
    match &result.result {
        Some(result::Result::Ref(reference)) => vec![part(None, reference)],
        Some(result::Result::Refs(map)) => map
            .refs
            .iter()
            .map(|(platform, reference)| part(Some(platform), reference))
            .collect(),
        // Of builders that are older than references with definitions (BuildKit before 0.8).
        Some(result::Result::RefDeprecated(_) | result::Result::RefsDeprecated(_)) | None => {
            Vec::new()
        }
    }
}

/// The definition of nothing, as which `FROM scratch` alone ends: an empty one cannot be an input
/// (`DefinitionOp.Marshal` in client/llb). The difference between nothing and nothing has no layer
/// (solver/llbsolver/ops/diff.go).
fn nothing() -> Definition {
    /// No input (client/llb and solver/pb, `Empty`).
    const EMPTY: i64 = -1;
    let difference = Op {
        op: Some(op::Op::Diff(DiffOp {
            lower: Some(LowerDiffInput { input: EMPTY }),
            upper: Some(UpperDiffInput { input: EMPTY }),
        })),
        ..Op::default()
    };
    let difference = difference.encode_to_vec();
    let digest = Digest::of(&difference).to_string();
    // The last operation only names what is the result.
    let end = Op {
        inputs: vec![Input {
            digest: digest.clone(),
            index: 0,
        }],
        ..Op::default()
    };
    Definition {
        def: vec![difference, end.encode_to_vec()],
        metadata: [(digest, OpMetadata::default())].into(),
        source: None,
    }
}

/// Gives a build the result of another one as its context `name`.
///
/// What is built on a result that was built past the cache is built past it, too. Else the builder may
/// take what it once built on an older result: from BuildKit 0.32 on a step finds its cache again two
/// steps behind one that was built past it, whatever that step gave this time.
pub(super) fn take_in(
    name: &str,
    linked: &Linked,
    attributes: &mut HashMap<String, String>,
    inputs: &mut HashMap<String, Definition>,
) {
    if linked.is_fresh {
        attributes.insert(NO_CACHE.to_owned(), String::new());
    }
    for part in &linked.parts {
        let suffix = match &part.platform {
            Some(platform) => format!("::{platform}"),
            None => String::new(),
        };
        let input = format!("{name}{suffix}");
        attributes.insert(format!("context:{input}"), format!("input:{input}"));
        if let Some(config) = &part.config {
            let metadata = json!({ IMAGE_CONFIG: BASE64_STANDARD.encode(config) });
            attributes.insert(format!("input-metadata:{input}"), metadata.to_string());
        }
        inputs.insert(input, part.definition.clone());
    }
}
