// Greets whoever asks.
import { Failure, type Session, app, plugin } from "shaddock-sdk";

export const { handler, remote, router, lifecycle, timer } = plugin({
  routes: { "connector.helloHandler.greet": greet },
});

interface Greeting {
  text: string;
  visits: number;
}

/** Greets a client, counts how often it came, and pushes `onGreet` to it. */
function greet({ name }: { name?: unknown }, session: Session): Greeting {
  if (typeof name !== "string" || name === "") throw new Failure(400, "a name has at least one letter");
  const visits: number = (session.get("visits") ?? 0) + 1;
  session.set("visits", visits);
  session.push();
  session.send("onGreet", { visits });
  console.log(`${name} came ${visits} times`);
  return { text: `${app.settings().greeting}, ${name}!`, visits };
}
