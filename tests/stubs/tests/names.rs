//! Whatever things are called, and wherever they are, they can be called.

mod support;

use support::serve;
use udp_rpc::client::{BlockingClient, Options};
use udp_rpc::service::{Context, Status};
use udp_rpc_stubs::proto::std::core::udp_rpc as crates;
use udp_rpc_stubs::proto::stubs::scalars::Scalars;
use udp_rpc_stubs::proto::r#type::r#async::self_ as words;
use udp_rpc_stubs::proto::{Root, rootless, tree};

/// Does everything.
struct All;

impl words::self_::Self_ for All {
    fn new(&self, _: &Context<'_>, request: words::Option) -> Result<words::Option, Status> {
        Ok(words::Option { name: Some("new".into()), ..request })
    }
    fn name(&self, _: &Context<'_>, request: words::Option) -> Result<words::Option, Status> {
        Ok(words::Option { name: Some("name".into()), ..request })
    }
    fn self_(&self, _: &Context<'_>, request: words::Keywords) -> Result<words::Keywords, Status> {
        Ok(request)
    }
    fn r#type(&self, _: &Context<'_>, request: words::Result) -> Result<words::Result, Status> {
        Ok(request)
    }
    fn r#move(&self, _: &Context<'_>, request: words::String) -> Result<words::String, Status> {
        Ok(request)
    }
    fn clone(&self, _: &Context<'_>, request: words::Vec) -> Result<words::Box, Status> {
        Ok(words::Box { r#box: request.vec.concat().into() })
    }
    fn drop(&self, _: &Context<'_>, _: words::Some) -> Result<words::None, Status> {
        Ok(words::None {})
    }
    fn get(&self, _: &Context<'_>, request: words::Ok) -> Result<words::Err, Status> {
        Ok(words::Err { err: request.ok.to_string() })
    }
    fn get_with(&self, _: &Context<'_>, request: words::Err) -> Result<words::Ok, Status> {
        Ok(words::Ok { ok: request.err == "true" })
    }
    fn service(&self, _: &Context<'_>, request: words::Default) -> Result<words::Default, Status> {
        Ok(request)
    }
    fn borrow(&self, _: &Context<'_>, request: crates::Context) -> Result<crates::Status, Status> {
        Ok(crates::Status { status: request.context == "core" })
    }
    fn r#await(&self, _: &Context<'_>, request: words::Fn) -> Result<words::Fn, Status> {
        Ok(request)
    }
}

macro_rules! same {
    ($($service:path: $method:ident,)*) => {
        $(impl $service for All {
            fn $method(
                &self,
                _: &Context<'_>,
                request: words::Option,
            ) -> Result<words::Option, Status> {
                Ok(request)
            }
        })*
    };
}

same! {
    words::send::Send: sync,
    words::future::Future: poll,
    words::clone::Clone: clone,
}

#[test]
fn names_that_mean_something_in_rust_can_be_called() {
    let mut served = serve([
        words::self_::service(All),
        words::send::service(All),
        words::future::service(All),
        words::clone::service(All),
    ]);
    assert_eq!(words::self_::NAME, "type.async.self.Self");
    let option = words::Option { name: None, result: None };

    let client = words::self_::SelfClient::new(served.client.clone());
    assert_eq!(client.new_(&option).wait().unwrap().name(), "new");
    assert_eq!(client.name(&option).wait().unwrap().name(), "name");
    assert_eq!(words::self_::NAME_.name(), "type.async.self.Self/Name");

    let mut blocking = words::self_::BlockingSelfClient::new(&mut served.blocking);
    let none = Options::default();
    assert_eq!(blocking.new_with(&option, &none).unwrap().message.name(), "new");
    let words = words::Keywords {
        r#as: "as".into(),
        r#gen: "gen".into(),
        self_: words::keywords::Self_::SelfSuper.into(),
        r#struct: Some(words::keywords::Struct { r#struct: "struct".into() }),
        super_: "super".into(),
        crate_: "crate".into(),
        union: "union".into(),
        clear: "clear".into(),
        dyn_map: [("a".to_owned(), 1)].into(),
        in_one: Some(words::keywords::InOne::OneofSelf(1)),
        ..words::Keywords::default()
    };
    assert_eq!(blocking.self_(&words).unwrap(), words);
    assert_eq!(blocking.self_with(&words, &none).unwrap().message, words);
    let ok = words::result::Result::Ok(words::Ok { ok: true });
    let result = words::Result { result: Some(ok) };
    assert_eq!(blocking.r#type(&result).unwrap(), result);
    assert_eq!(blocking.type_with(&result, &none).unwrap().message, result);
    let text = words::String { string: "s".into() };
    assert_eq!(blocking.r#move(&text).unwrap(), text);
    let parts = words::Vec { vec: vec!["a".into(), "b".into()] };
    assert_eq!(blocking.clone(&parts).unwrap().r#box, b"ab");
    assert_eq!(blocking.drop(&words::Some::default()).unwrap(), words::None {});
    // `get_with` is a method; `get` with options has an underscore more.
    assert_eq!(blocking.get(&words::Ok { ok: true }).unwrap().err, "true");
    assert!(blocking.get_with(&words::Err { err: "true".into() }).unwrap().ok);
    let with_options = blocking.get_with_(&words::Ok { ok: false }, &none).unwrap();
    assert_eq!(with_options.message.err, "false");
    let with_options = blocking.get_with_with(&words::Err::default(), &none).unwrap();
    assert!(!with_options.message.ok);
    let default = words::Default { default: Some("d".into()) };
    assert_eq!(blocking.service(&default).unwrap(), default);
    assert!(blocking.borrow(&crates::Context { context: "core".into() }).unwrap().status);
    let function = words::Fn { r#fn: words::r#fn::Enum::Self_.into() };
    assert_eq!(blocking.r#await(&function).unwrap().r#fn(), words::r#fn::Enum::Self_);

    words::send::SendClient::new(served.client.clone()).sync(&option).wait().unwrap();
    words::future::FutureClient::new(served.client.clone()).poll(&option).wait().unwrap();
    let client = words::clone::CloneClient::new(served.client.clone());
    // The method hides the trait's; by its full name that is there too.
    assert_eq!(Clone::clone(&client).clone(&option).wait().unwrap(), option);
}

impl tree::trunk::trunk::Trunk for All {
    fn own(
        &self,
        _: &Context<'_>,
        request: tree::trunk::Own,
    ) -> Result<tree::trunk::own::Inner, Status> {
        Ok(*request.inner.unwrap_or_default())
    }
    fn up(&self, _: &Context<'_>, request: tree::Parent) -> Result<tree::leaf::Sibling, Status> {
        let vein = Some(tree::leaf::Vein { width: 2 });
        Ok(tree::leaf::Sibling { green: request.name == "green", vein, leaf: None })
    }
    fn side(
        &self,
        _: &Context<'_>,
        request: tree::leaf::Sibling,
    ) -> Result<tree::trunk::branch::Child, Status> {
        let bud = tree::trunk::branch::child::Bud { open: request.green };
        Ok(tree::trunk::branch::Child { bud: Some(bud) })
    }
    fn down(
        &self,
        _: &Context<'_>,
        request: tree::trunk::branch::Child,
    ) -> Result<tree::trunk::branch::child::Bud, Status> {
        request.bud.ok_or_else(|| Status::not_found("no bud"))
    }
    fn out(&self, _: &Context<'_>, _: Root) -> Result<Scalars, Status> {
        Ok(Scalars { bool_value: true, ..Scalars::default() })
    }
    fn knot(
        &self,
        _: &Context<'_>,
        request: tree::parent::Knot,
    ) -> Result<tree::trunk::Own, Status> {
        let sibling = tree::leaf::Sibling { green: request.rings == 3, ..Default::default() };
        Ok(tree::trunk::Own { sibling: Some(sibling), ..Default::default() })
    }
}

impl tree::trunk::branch_service::Branch for All {
    fn grow(
        &self,
        _: &Context<'_>,
        _: tree::trunk::branch::Child,
    ) -> Result<tree::trunk::Own, Status> {
        Ok(tree::trunk::Own::default())
    }
}

impl rootless::Rootless for All {
    fn root(&self, _: &Context<'_>, request: Root) -> Result<Root, Status> {
        Ok(request)
    }
    fn down(
        &self,
        _: &Context<'_>,
        request: tree::Parent,
    ) -> Result<tree::trunk::branch::Child, Status> {
        request.child.ok_or_else(|| Status::not_found("no child"))
    }
}

#[test]
fn types_of_all_packages_around_a_service_reach_it() {
    let mut served = serve([
        tree::trunk::trunk::service(All),
        tree::trunk::branch_service::service(All),
        rootless::service(All),
    ]);
    let child =
        || tree::trunk::branch::Child { bud: Some(tree::trunk::branch::child::Bud { open: true }) };
    let parent = tree::Parent { name: "green".into(), child: Some(child()) };
    let root = Root { parent: Some(parent.clone()), bud: child().bud };

    let mut trunk = tree::trunk::trunk::BlockingTrunkClient::new(&mut served.blocking);
    let inner = tree::trunk::own::Inner { own: None, root: Some(root.clone()) };
    let own = tree::trunk::Own { inner: Some(Box::new(inner.clone())), sibling: None };
    assert_eq!(trunk.own(&own).unwrap(), inner);
    let sibling = trunk.up(&parent).unwrap();
    assert_eq!((sibling.green, sibling.vein.unwrap().width), (true, 2));
    assert_eq!(trunk.side(&sibling).unwrap(), child());
    assert!(trunk.down(&child()).unwrap().open);
    assert!(trunk.out(&root).unwrap().bool_value);
    assert!(trunk.knot(&tree::parent::Knot { rings: 3 }).unwrap().sibling.unwrap().green);

    let branch = tree::trunk::branch_service::BranchClient::new(served.client.clone());
    assert_eq!(branch.grow(&child()).wait().unwrap(), tree::trunk::Own::default());

    let mut rootless = rootless::BlockingRootlessClient::new(
        // One that has its client for itself.
        BlockingClient::connect(served.server.local_addr()).unwrap(),
    );
    assert_eq!(rootless.root(&root).unwrap(), root);
    assert_eq!(rootless.down(&parent).unwrap(), child());
    assert_eq!((rootless::NAME, rootless::ROOT.name()), ("Rootless", "Rootless/Root"));
}
