// Greets whoever asks.
import { Failure, app, plugin } from "shaddock-sdk";

export const { handler, remote, router, lifecycle, timer } = plugin({
  routes: { "connector.helloHandler.greet": greet },
});

/** Greets a client, counts how often it came, and pushes `onGreet` to it. */
function greet({ name }, session) {
  if (typeof name !== "string" || name === "") throw new Failure(400, "a name has at least one letter");
  const visits = (session.get("visits") ?? 0) + 1;
  session.set("visits", visits);
  session.push();
  session.send("onGreet", { visits });
  console.log(`${name} came ${visits} times`);
  return { text: `${app.settings().greeting}, ${name}!`, visits };
}
