pageState = stateOf(location.hash);
startTables(document);
startChoices(document);
followAddress();
goTo(pageState.get("at"));
