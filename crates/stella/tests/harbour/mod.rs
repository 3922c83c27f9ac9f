//! Images for tests of the command, pushed into registries on this machine.

use std::sync::Arc;

use stella_client::network::{Network, PlainHttp};
use stella_client::registry::credentials::Credential;
use stella_client::registry::{Registry, Repository};
use stella_client::retry::{RetryPolicy, Retrying};
use stella_testkit::image::Image;
use stella_wire::registry::Reference;

/// Pushes an image under a tag: `HOST/REPOSITORY:TAG`.
pub(crate) fn push(name: &str, image: &Image) {
    let reference = Reference::parse(name).unwrap();
    let registry = Registry::new(
        Arc::new(Retrying::new(
            Arc::new(Network::default()),
            RetryPolicy::default(),
        )),
        reference.host(),
        PlainHttp::LoopbackOnly,
        Credential::Anonymous,
    );
    let repository = Repository::new(Arc::new(registry), reference.repository());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let tag = reference.tag().unwrap();
    runtime
        .unwrap()
        .block_on(image.push(&repository, tag))
        .unwrap();
}
