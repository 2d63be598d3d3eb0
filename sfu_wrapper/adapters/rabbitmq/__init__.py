"""RabbitMQ, with the aio-pika library."""
