"""A request on its way in: whose, whole, genuine, stored, answered; and the server around it."""
