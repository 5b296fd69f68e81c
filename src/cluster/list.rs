//! One page of a LIST as text, bounded in bytes: what tenants write into their objects must not fill the memory
//! of a replica.
//!
//! Not for the commands, which have the memory of whoever calls them.

use futures_util::AsyncReadExt;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Client, Error};

/// Bytes of a page. A hundred Jobs of the usual 7 KB are well below.
const PAGE: u64 = 4 << 20;
/// Bytes of a page with a single object: etcd takes 1.5 MiB of one, and JSON may have six bytes for one of these.
const OBJECT: u64 = 10 << 20;

/// The page that these parameters ask for. Where it has too many bytes, one with a fraction of the objects, and
/// so the next ones.
pub(super) async fn page(
    client: &Client,
    path: &str,
    params: &mut ListParams,
) -> Result<String, Error> {
    loop {
        let alone = params.limit == Some(1);
        let most = if alone { OBJECT } else { PAGE };
        let request = Request::new(path)
            .list(params)
            .map_err(Error::BuildRequest)?;
        let answer = client.request_stream(request).await?;
        let mut text = Vec::new();
        let read = answer.take(most + 1).read_to_end(&mut text).await;
        let read = read.map_err(|error| Error::Service(error.into()))?;
        if read as u64 <= most {
            return String::from_utf8(text).map_err(Error::FromUtf8);
        }
        if alone {
            let much = format!("an object has more than {} MiB", OBJECT >> 20);
            return Err(Error::Service(much.into()));
        }
        params.limit = params.limit.map(|limit| (limit / 4).max(1));
    }
}
