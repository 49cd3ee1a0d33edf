//! Map values that must reach a builder even where they are empty.
//!
//! prost leaves the value of a map's entry out where it is its type's default; protobuf allows that, and
//! its readers then take the default. BuildKit since 0.18 reads with vtprotobuf, which takes nothing at
//! all (`var mapvalue *Locations` in `solver/pb/ops_vtproto.pb.go`): the first look into such a value ends
//! the whole daemon, with all builds of everybody in it. What comes from a builder and goes back to one
//! is put here into a form in which no value is its type's default.

use bollard_buildkit_proto::moby::buildkit::v1::frontend::{Ref, Result as FrontendResult, result};
use bollard_buildkit_proto::pb::{Definition, OpMetadata};

/// Makes a definition fit to be sent.
pub(super) fn keep_in_definition(definition: &mut Definition) {
    if let Some(source) = &mut definition.source {
        // Where an operation stands in no file, no entry says the same.
        source
            .locations
            .retain(|_, locations| !locations.locations.is_empty());
        for info in &mut source.infos {
            if let Some(definition) = &mut info.definition {
                keep_in_definition(definition);
            }
        }
    }
    for metadata in definition.metadata.values_mut() {
        if *metadata == OpMetadata::default() {
            // A text that builders do not read.
            metadata.description.insert(String::new(), String::new());
        }
    }
}

/// Makes a result fit to be given back. That for a platform may be nothing (`FROM scratch`).
pub(super) fn keep_in_result(result: &mut FrontendResult) {
    // Entries without attestations say what no entry says.
    result
        .attestations
        .retain(|_, attestations| !attestations.attestation.is_empty());
    if let Some(result::Result::Refs(map)) = &mut result.result {
        for reference in map.refs.values_mut() {
            if *reference == Ref::default() {
                reference.def = Some(Definition::default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard_buildkit_proto::moby::buildkit::v1::frontend::{Attestations, RefMap};
    use bollard_buildkit_proto::pb::{Location, Locations, Source, SourceInfo};

    use super::*;

    fn definition() -> Definition {
        let location = Location::default();
        Definition {
            def: vec![vec![1]],
            metadata: [("a".to_owned(), OpMetadata::default())].into(),
            source: Some(Source {
                locations: [
                    ("without".to_owned(), Locations::default()),
                    (
                        "with".to_owned(),
                        Locations {
                            locations: vec![location],
                        },
                    ),
                ]
                .into(),
                infos: vec![SourceInfo {
                    definition: Some(Definition {
                        source: Some(Source {
                            locations: [("inner".to_owned(), Locations::default())].into(),
                            infos: Vec::new(),
                        }),
                        ..Definition::default()
                    }),
                    ..SourceInfo::default()
                }],
            }),
        }
    }

    /// Each value of a map differs from what its reader would take in its place.
    fn assert_values_are_sent(definition: &Definition) {
        for metadata in definition.metadata.values() {
            assert_ne!(*metadata, OpMetadata::default());
        }
        let sources = definition.source.iter();
        for source in sources {
            for locations in source.locations.values() {
                assert_ne!(*locations, Locations::default());
            }
            for info in &source.infos {
                info.definition.iter().for_each(assert_values_are_sent);
            }
        }
    }

    #[test]
    fn every_value_of_a_definition_is_sent() {
        let mut definition = definition();
        keep_in_definition(&mut definition);
        assert_values_are_sent(&definition);
        let source = definition.source.unwrap();
        assert_eq!(source.locations.len(), 1);
        assert!(source.locations.contains_key("with"));
    }

    #[test]
    fn a_platform_whose_result_is_nothing_keeps_its_place() {
        let mut given = FrontendResult {
            result: Some(result::Result::Refs(RefMap {
                refs: HashMap::from([("linux/amd64".to_owned(), Ref::default())]),
            })),
            attestations: HashMap::from([("linux/amd64".to_owned(), Attestations::default())]),
            ..FrontendResult::default()
        };
        keep_in_result(&mut given);
        assert!(given.attestations.is_empty());
        let Some(result::Result::Refs(map)) = given.result else {
            panic!("the result is gone");
        };
        assert_ne!(map.refs["linux/amd64"], Ref::default());
    }
}
