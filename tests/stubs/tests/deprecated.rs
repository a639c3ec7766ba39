//! What is marked as deprecated works, and whoever uses it is told.

mod support;

#[allow(deprecated)]
mod old {
    use udp_rpc::service::{Context, Status};
    use udp_rpc_stubs::proto::stubs::deprecated::{Gone, State, Thing, old, thing, young};

    struct All;

    impl old::Old for All {
        fn go(&self, _: &Context<'_>, request: Thing) -> Result<Thing, Status> {
            Ok(request)
        }
    }

    impl young::Young for All {
        fn gone(&self, _: &Context<'_>, request: Thing) -> Result<Thing, Status> {
            Ok(request)
        }
        fn here(&self, _: &Context<'_>, request: Thing) -> Result<Thing, Status> {
            Ok(request)
        }
    }

    #[test]
    fn what_is_deprecated_goes_on_working() {
        let mut served = super::support::serve([old::service(All), young::service(All)]);
        let gone = Gone { states: vec![State::Over.into()], map: [("a".to_owned(), 1)].into() };
        let either = Some(thing::Either::Left("left".into()));
        let thing = Thing { was: "was".into(), gone: Some(gone), either };
        let mut old = old::BlockingOldClient::new(&mut served.blocking);
        assert_eq!(old.go(&thing).unwrap(), thing);
        let young = young::YoungClient::new(served.client.clone());
        assert_eq!(young.gone(&thing).wait().unwrap(), thing);
        assert_eq!(young.here(&thing).wait().unwrap(), thing);
    }
}
