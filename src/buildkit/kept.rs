//! What a builder keeps of its builds, to be looked at and dropped.

use std::time::Duration;

use async_trait::async_trait;
use bollard_buildkit_proto::moby::buildkit::v1::{DiskUsageRequest, PruneRequest, UsageRecord};
use jiff::Timestamp;
use tonic::Status;

use super::BuildKit;
use super::job::control;
use crate::execute::ports::{BuildCache, Builder as _, BuilderError};
use crate::plan::retention::CacheRecord;

#[async_trait]
impl BuildCache for BuildKit {
    fn name(&self) -> &str {
        &self.name
    }

    async fn identity(&self) -> Result<Option<String>, BuilderError> {
        Ok(self.survey().await?.identity)
    }

    async fn records(&self) -> Result<Vec<CacheRecord>, BuilderError> {
        let connection = self.address.connect(false).await?;
        let mut control = control(connection.channel.clone());
        let usage = match control.disk_usage(DiskUsageRequest::default()).await {
            Ok(usage) => usage.into_inner(),
            Err(status) => return Err(self.lost(&connection, &status).await),
        };
        let record = |record: UsageRecord| CacheRecord {
            last_used: [&record.last_used_at, &record.created_at]
                .into_iter()
                .flatten()
                .next()
                .and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()),
            id: record.id,
            bytes: u64::try_from(record.size).unwrap_or_default(),
            in_use: record.in_use,
        };
        Ok(usage.record.into_iter().map(record).collect())
    }

    async fn prune(&self, keep: u64, unused_for: Duration) -> Result<u64, BuilderError> {
        let connection = self.address.connect(false).await?;
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let request = PruneRequest {
            all: true,
            keep_duration: i64::try_from(unused_for.as_nanos()).unwrap_or(i64::MAX),
            reserved_space: keep,
            max_used_space: keep,
            ..PruneRequest::default()
        };
        let freed = async {
            let answer = control(connection.channel.clone()).prune(request).await;
            let mut freed = answer?.into_inner();
            let mut bytes = 0_u64;
            while let Some(record) = freed.message().await? {
                bytes += u64::try_from(record.size).unwrap_or_default();
            }
            Ok::<_, Status>(bytes)
        };
        match freed.await {
            Ok(bytes) => Ok(bytes),
            Err(status) => Err(self.lost(&connection, &status).await),
        }
    }
}
