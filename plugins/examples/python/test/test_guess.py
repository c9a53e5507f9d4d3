"""The game, without a server: `shaddock test`."""

import unittest

from shaddock_testing import FRONTEND, Host  # before the plugin

import guess
from shaddock import Failure


class Game(unittest.TestCase):
    def setUp(self):
        guess.rounds.clear()
        self.host = Host({"roundMs": 1000})
        self.ann = self.host.session()
        self.host.request("connector.roomHandler.enter", {"name": "ann", "room": "lobby"}, self.ann)
        joined = self.host.request("guess.roomHandler.join", {}, self.ann)
        self.assertEqual(joined, {"players": ["ann"], "room": "lobby", "round": 1})

    def test_entering_binds_the_user_and_notes_the_room(self):
        session = self.host.session_now(self.ann)
        self.assertEqual((session.uid, session.get("room")), ("ann", "lobby"))

    def test_the_secret_is_right_and_begins_a_new_round(self):
        secret = guess.rounds["lobby"].secret
        answer = self.host.request("guess.roomHandler.guess", {"number": secret}, self.ann)
        self.assertEqual(answer, {"answer": "right", "round": 1})
        told = self.host.pushes[-1]
        self.assertEqual((told.to, told.route, told.body["number"]), (["ann"], "onRight", secret))
        self.assertEqual([(timer.ms, timer.payload["round"]) for timer in self.host.timers], [(1000, 2)])

    def test_time_is_up(self):
        self.host.fire(self.host.timers[0])
        self.assertEqual(self.host.pushes[-1].route, "onTimeout")
        self.assertEqual(guess.rounds["lobby"].number, 2)

    def test_what_makes_no_sense_is_refused(self):
        for number in (0, 101, 1.5, "7", None):
            with self.assertRaises(Failure) as refused:
                self.host.request("guess.roomHandler.guess", {"number": number}, self.ann)
            self.assertEqual(refused.exception.code, 400, number)

    def test_who_leaves_is_gone(self):
        self.host.answer("guess.roomRemote.leave", lambda args: self.host.call("guess.roomRemote.leave", args))
        self.host.disconnect(self.ann)
        leaving = {"frontend": FRONTEND, "room": "lobby", "uid": "ann"}
        self.assertEqual([call.args for call in self.host.calls], [leaving])
        self.assertEqual((guess.rounds, self.host.timers), ({}, []))
