// Greets whoever asks.
package main

import (
	"log/slog"

	"shaddock"
)

func init() {
	shaddock.Route("connector.helloHandler.greet", greet)
}

func main() {}

type request struct {
	Name string `json:"name"`
}

type greeting struct {
	Text   string `json:"text"`
	Visits int    `json:"visits"`
}

// Greets a client, counts how often it came, and pushes `onGreet` to it.
func greet(message request, session *shaddock.Session) (greeting, error) {
	if message.Name == "" {
		return greeting{}, shaddock.Fail(400, "a name has at least one letter")
	}
	visits := 0
	if _, err := session.Get("visits", &visits); err != nil {
		return greeting{}, err
	}
	visits++
	if err := session.Set("visits", visits); err != nil {
		return greeting{}, err
	}
	if err := session.Push(); err != nil {
		return greeting{}, err
	}
	if err := session.Send("onGreet", map[string]int{"visits": visits}); err != nil {
		return greeting{}, err
	}
	slog.Info("a client came", "name", message.Name, "times", visits)
	var settings struct {
		Greeting string `json:"greeting"`
	}
	if err := shaddock.Settings(&settings); err != nil {
		return greeting{}, err
	}
	return greeting{Text: settings.Greeting + ", " + message.Name + "!", Visits: visits}, nil
}
