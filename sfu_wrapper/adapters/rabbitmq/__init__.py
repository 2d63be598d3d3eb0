"""RabbitMQ through aio-pika."""
